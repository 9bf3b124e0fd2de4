"""The projection's process. Page "projection": one runner a projection, until interrupted."""

from eventsourcing.projection import ProjectionRunner
from pyes.comments import ENVIRONMENT, Comments
from pyes.view import CommentsProjection, CommentsView

if __name__ == "__main__":
    runner = ProjectionRunner(application_class=Comments, projection_class=CommentsProjection, view_class=CommentsView, env=ENVIRONMENT)
    with runner:
        runner.run_forever()
