from otel_cost.budgets import finish
from otel_cost.instrumentation.exchange import begin


class Post:
    """A request of a client, which notes whether somebody took its body."""

    method = "POST"

    def __init__(self, url: str) -> None:
        self.url, self.headers, self.taken = url, dict[str, str](), 0

    def body(self) -> bytes:
        self.taken += 1
        return b'{"name": "Ada"}'

    def replace_body(self, _: bytes) -> bool:
        return False

    def ask_instead(self, _: bytes) -> bool:
        return False


def test_the_body_of_a_request_that_goes_elsewhere_is_not_taken() -> None:
    for url in ("https://example.com/v1/users", "http://orders:8080/", "https://api.openai.com/v1/files?limit=3"):
        post = Post(url)
        assert finish(begin(post)) is None
        assert post.taken == 0


def test_the_body_tells_a_call_where_the_path_alone_does_not() -> None:
    post = Post("https://example.com/v1/chat/completions")
    assert finish(begin(post)) is None
    assert post.taken == 1
