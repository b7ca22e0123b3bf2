"""TF-Models' create_pretraining_data: text, vocabulary, output, dupe_factor. CPU seconds of each part."""

import json
import random
import sys
import time

from official.nlp.data import create_pretraining_data as script


def main() -> None:
    """Runs the script's functions as its main does."""
    text, vocab, output, dupe = sys.argv[1:]
    tokenizer = script.tokenization.FullTokenizer(vocab)
    begun = time.process_time()
    instances = script.create_training_instances(
        [text], tokenizer, lambda line: line.decode().strip(), 128, int(dupe), 0.1, 0.15, 20, random.Random(1)
    )
    made = time.process_time()
    script.write_instance_to_example_files(instances, tokenizer, 128, 20, [output], False, False)
    written = time.process_time()
    print(json.dumps({"examples": len(instances), "make": made - begun, "write": written - made}))


main()
