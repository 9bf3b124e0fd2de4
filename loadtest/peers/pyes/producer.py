"""The service: saves aggregates from several threads; a command is its own transaction, done when this returns."""

from orders import Comment, serve_threads
from pyes.comments import ENVIRONMENT, THREADS, Comments

if __name__ == "__main__":
    application = Comments(env=ENVIRONMENT)

    def submit(comment: Comment) -> None:
        names = ("comment_id", "picture_id", "author", "text")
        application.create(*(comment[name] for name in names), submitted_at=comment["created_at"])

    serve_threads(submit, THREADS)
