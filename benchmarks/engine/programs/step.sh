# NAME SALT INPUT...: what work.content does, without starting Python
name=$1 salt=$2
shift 2
# the inputs end with a newline each, and are joined with one
{
    printf '%s\n%s' "$name" "$salt"
    for input in "$@"; do printf '\n'; cat "$input"; done
} | sha256sum | cut -d' ' -f1 > "$name.txt"
