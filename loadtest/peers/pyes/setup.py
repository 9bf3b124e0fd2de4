"""Tables: the library makes them when the application and the view are first constructed."""

from eventsourcing.projection import ProjectionRunner
from pyes.comments import ENVIRONMENT, Comments
from pyes.view import CommentsProjection, CommentsView

if __name__ == "__main__":
    with ProjectionRunner(
        application_class=Comments, projection_class=CommentsProjection, view_class=CommentsView, env={**ENVIRONMENT, "CREATE_TABLE": "y"}
    ) as runner:
        runner.app.notification_log.select(1, 1)
