"""Wikipedia: from a dump to prose, and from prose to pre-training examples."""
