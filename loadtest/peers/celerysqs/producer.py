"""The service: sends tasks from several threads, each with a connection of the pool."""

from celerysqs.tasks import THREADS, create
from orders import Comment, serve_threads

if __name__ == "__main__":

    def submit(comment: Comment) -> None:
        create.delay(comment)

    serve_threads(submit, THREADS)
