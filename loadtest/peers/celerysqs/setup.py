"""The queue and the tables."""

import os

import boto3
import psycopg
from tables import SCHEMA

if __name__ == "__main__":
    boto3.client("sqs").create_queue(QueueName=os.environ["PEER_RUN"], Attributes={"VisibilityTimeout": "60"})
    with psycopg.connect(os.environ["PEER_DATABASE_URL"]) as connection:
        connection.execute(SCHEMA)
