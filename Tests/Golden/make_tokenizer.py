"""Makes Tests/DataTests/Golden: tokenizers trained, and texts encoded, by the `tokenizers` package of PyPI.

Usage: python3 make_tokenizer.py [DIRECTORY]     (made with tokenizers 0.23.3)
"""
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
SPLITS = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
]
TEXTS = [
    "", " ", "\n", "a", "The quick brown fox jumps over the lazy dog.",
    "It's what they'd've said: \"we'll see\", isn't it?",
    "  two spaces,   three,    four     and a tail   ",
    "tabs\tand\t\ttabs \t mixed\r\nwindows\r\n\r\nlines\n\n\n   indented\n",
    "1 22 333 4444 55555 1234567890 3.14159 -42 1,000,000 ٣٤٥ ½ Ⅻ",
    "価格は1234円です。カタカナとひらがな、漢字。中文混排English文本123。",
    "한국어 텍스트도 있습니다. Ελληνικά, русский текст, עברית, العربية, हिन्दी, ไทย",
    "emoji 😀😃👩‍👩‍👧‍👦🇩🇪👍🏽 and ☃ ❤️ end",
    "naïve café Ångström ﬁnd e\u0301 n\u0303 \u1e9b\u0323 composed and not",
    "if (x[i] != y->z) { return f(a, b)[0] ** 2; } // comment\n\tx += 1;\n",
    "a.b c.d !important #hashtag @name $var %d &amp; *star* (paren) [x] {y} <z> "
    "~a `code` ^up _under |bar",
    "!!! ??? ... --- === *** \n!!!\n\n...\r\n---   \n",
    "zero\u200bwidth nbsp\u00a0here \u3000ideographic\u2003em\u2028line\u2029para\u0085nel "
    "\u000bvt \u000cff",
    "null\u0000byte \u0001 \u001f \u007f \ufffd \ufeff bom",
    "<｜begin▁of▁sentence｜>hello<｜end▁of▁sentence｜> and <｜▁pad▁｜>",
    "x" * 300, "ab" * 200, " " * 257, "\n" * 65, "=" * 100 + "\n", "9" * 100, "漢" * 90, "e\u0301" * 50,
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎𠜱𠝹 astral",
]
WORDS = "the of and to in a is that it for was on are as with his they at be this from".split()
WORDS += "have or by one had".split()


def documents():
    """Text with repeats to learn from: the samples, and sentences of a seeded generator."""
    rng = random.Random(1)
    made = []
    for _ in range(60):
        sentence = " ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 25)))
        first = f"{sentence.capitalize()}{rng.choice('.!?')} {rng.randint(0, 99999)}\n"
        made.append(first + rng.choice(TEXTS[4:18]))
    return made


def deepseek():
    """The pre-tokenizer and the special tokens of DeepSeek-V3."""
    tokenizer = Tokenizer(models.BPE())
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits + [byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(content, special=True, normalized=False) for content in SPECIAL]
    return tokenizer, special


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|end"]
    return tokenizer, [AddedToken(content, special=True, normalized=False) for content in marks]


def train(tokenizer, special, size):
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(documents(), trainer)
    return tokenizer


def cases(tokenizer, texts):
    made = []
    for text in texts:
        tokenizer.encode_special_tokens = True  # special tokens in the text are ordinary text
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        with_special = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        prefix = tokenizer.decode(ids[: len(ids) // 2], skip_special_tokens=False)
        assert decoded == text, (text, decoded)
        made.append({"text": text, "ids": ids, "with_special": with_special, "half": prefix})
    return made


def main():
    here = pathlib.Path(__file__).parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parent / "DataTests/Golden"
    out.mkdir(parents=True, exist_ok=True)
    marked = TEXTS + ["a<|endoftext|>b<|end<|endoftext|>", "<|endoftext|><|endoftext|> <|endof"]
    for name, make, size in [("deepseek", deepseek, 700), ("gpt2", gpt2, 500)]:
        tokenizer = train(*make(), size)
        tokenizer.save(str(out / f"{name}.tokenizer.json"), pretty=False)
        golden = {"tokenizers": tokenizers.__version__, "cases": cases(tokenizer, marked)}
        (out / f"{name}.cases.json").write_text(json.dumps(golden, ensure_ascii=True, indent=0))
    (out / "documents.json").write_text(json.dumps(documents(), ensure_ascii=True, indent=0))


if __name__ == "__main__":
    main()
