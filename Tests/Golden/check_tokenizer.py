"""Checks token ids made elsewhere against the `tokenizers` package of PyPI.

Usage: python3 check_tokenizer.py TOKENIZER.json TEXT.txt IDS.json
The ids are those of the whole text with special tokens taken as ordinary text. Exit code 1 when they differ,
or when decoding them does not give the text back.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer


def main():
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.encode_special_tokens = True
    text = pathlib.Path(sys.argv[2]).read_bytes().decode("utf-8")
    found = json.loads(pathlib.Path(sys.argv[3]).read_text())
    expected = tokenizer.encode(text, add_special_tokens=False).ids
    if found != expected:
        differing = (i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
        place = next(differing, min(len(found), len(expected)))
        print(f"{len(found)} ids, {len(expected)} expected; the first difference is at {place}: "
              f"{found[place:place + 5]} instead of {expected[place:place + 5]}")
        return 1
    if tokenizer.decode(found, skip_special_tokens=False) != text:
        print("the ids do not decode to the text")
        return 1
    print(f"{len(found)} ids agree; vocabulary {tokenizer.get_vocab_size()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
