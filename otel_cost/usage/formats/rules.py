"""Rules that mend what providers count in a way of their own, each for a whole family.

Most follow from conservation: where a response states a total, its parts must make it up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_cost.usage.formats.wire_format import Counts, Stated


WRITES: Final = frozenset({"message", "fallback_message"})
"""Passes that write the message, which the top level of a usage adds up."""


def _total(stated: Stated) -> int | None:
    total = stated.get("total_tokens", stated.get("totalTokenCount"))
    return total if isinstance(total, int) and total > 0 else None


def audio_beside_input(counts: Counts, stated: Stated) -> str | None:
    """Input tokens that are sound lie outside the prompt where only so the total is made up."""
    audio = counts.get("input_audio_tokens", 0)
    if audio and _total(stated) == counts.get("input_tokens", 0) + counts.get("output_tokens", 0) + audio:
        counts["input_tokens"] += audio
    return None


def reasoning_beside_output(counts: Counts, stated: Stated) -> str | None:
    """Reasoning lies outside the output where only so the total is made up, or where the output is too small for it."""
    reasoning, output = counts.get("reasoning_tokens", 0), counts.get("output_tokens", 0)
    if reasoning and (reasoning > output or _total(stated) == counts.get("input_tokens", 0) + output + reasoning):
        counts["output_tokens"] = output + reasoning
    return None


def reasoning_always_beside_output(counts: Counts, stated: Stated) -> str | None:  # noqa: ARG001 - a rule takes both
    """Reasoning lies outside the output, and outside the total too, and is charged."""
    if "output_tokens" in counts:
        counts["output_tokens"] += counts.get("reasoning_tokens", 0)
    return None


def cached_beside_input(counts: Counts, stated: Stated) -> str | None:
    """Cached tokens lie outside the input where only so the total is made up, or where the input is too small for them.

    What is read and written at once may together exceed the input; each of them alone may not.
    """
    read, written = counts.get("cache_read_tokens", 0), counts.get("cache_write_tokens", 0)
    if not (read or written) or "input_tokens" not in counts:
        return None
    given = counts["input_tokens"]
    beside = _total(stated) == given + counts.get("output_tokens", 0) + read + written
    if read > given or beside:
        counts["input_tokens"] += read + written
        return None if beside else "input tokens, of which more were read from the cache than there are"
    return None


def hidden_is_output(counts: Counts, stated: Stated) -> str | None:
    """What the total has beyond input and output are thoughts, which are charged as output."""
    hidden = _hidden(counts, stated)
    if hidden > 0:
        counts["output_tokens"] = counts.get("output_tokens", 0) + hidden
    return None


def hidden_may_be_output(counts: Counts, stated: Stated) -> str | None:
    """What the total has beyond input and output is most likely output; nobody says so."""
    hidden = _hidden(counts, stated)
    if hidden <= 0:
        return None
    counts["output_tokens"] = counts.get("output_tokens", 0) + hidden
    return f"{hidden} tokens that only the total has"


def _hidden(counts: Counts, stated: Stated) -> int:
    total = _total(stated)
    if total is None or "input_tokens" not in counts:
        return 0
    return int(total - counts["input_tokens"] - counts.get("output_tokens", 0))


def nothing_used(counts: Counts, stated: Stated) -> str | None:  # noqa: ARG001 - a rule takes both
    """A response that states zeros only has most likely not been counted."""
    return None if any(counts.values()) else "the response states that it used nothing"


def images_are_output(counts: Counts, stated: Stated) -> str | None:  # noqa: ARG001 - a rule takes both
    """Where the output of an endpoint for images is not told apart, all of it is pictures."""
    if "output_tokens" in counts and "output_image_tokens" not in counts:
        counts["output_image_tokens"] = counts["output_tokens"]
    return None


def bedrock_agrees(counts: Counts, stated: Stated) -> str | None:
    """What Bedrock counts beside the model's own figures must be the same."""
    cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
    fresh = counts.get("input_tokens", 0) - cached
    own = {"inputTokenCount": fresh, "outputTokenCount": counts.get("output_tokens", 0)}
    differing = [
        f"{name} {stated[name]}, not {count}" for name, count in own.items() if stated.get(name, count) != count
    ]
    return f"Bedrock counts otherwise than its model: {', '.join(differing)}" if differing else None


def split_fits(counts: Counts, stated: Stated) -> str | None:  # noqa: ARG001 - a rule takes both
    """How long what was written is kept is forgotten where a stream then corrects how much was written."""
    split = ("cache_write_5m_tokens", "cache_write_1h_tokens")
    if sum(counts.get(meter, 0) for meter in split) > counts.get("cache_write_tokens", 0):
        for meter in split:
            counts.pop(meter, None)
    return None


def one_model_wrote(counts: Counts, stated: Stated) -> str | None:  # noqa: ARG001 - a rule takes both
    """Where one model stood in for another, each wrote a part, and they have prices of their own."""
    iterations = stated.get("iterations")
    passes = [each for each in iterations if isinstance(each, dict)] if isinstance(iterations, list) else []
    models = {str(each["model"]) for each in passes if each.get("model") and each.get("type") in WRITES}
    return f"{' and '.join(sorted(models))} wrote parts of the message" if len(models) > 1 else None
