"""Runs LocalStack 4.14.0 without its image. Started by LocalStack's own Python, never imported by the application:

    python -I serve.py DYNAMODB_DIR LEASH
    (the folder that holds DynamoDBLocal.jar; headrace/local/leash.py, so that java never outlives LocalStack)

`-I` keeps this folder and the caller's off its path: LocalStack's dependencies import packages named `localstack` and
`events`, as ours are. Honours GATEWAY_LISTEN, FILESYSTEM_ROOT and LocalStack's own settings.
"""
# ruff: noqa: PLC0415 - LocalStack reads its settings while it is imported, so it is imported after they are set

import functools
import os
import signal
import sys

DEFAULTS = {
    "SERVICES": "sqs,sns,dynamodb,dynamodbstreams,cloudformation,iam,sts,s3",  # s3: CloudFormation's engine asks for it
    "PROVIDER_OVERRIDE_DYNAMODB": "v2",
    "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
    "DYNAMODB_IN_MEMORY": "1",
    "EAGER_SERVICE_LOADING": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DISABLE_EVENTS": "1",  # no reports to its makers
    "DNS_ADDRESS": "0",
    "OVERRIDE_IN_DOCKER": "0",  # inside a container too: else it writes to /var/lib instead of FILESYSTEM_ROOT
    "LS_LOG": "warn",
}


def use_dynamodb_of(folder, leash):
    """Take DynamoDB Local from the folder: no download, no agent, no temporary files outside."""
    from localstack.services.dynamodb.packages import DynamoDBLocalPackageInstaller
    from localstack.services.dynamodb.server import DynamodbServer

    def nothing(*_, **__):
        return {}

    def command(server):
        return [
            *(sys.executable, "-I", "-S", leash, str(os.getpid()), str(int(signal.SIGKILL)), "-"),
            "java",
            f"-Xmx{server.heap_size}",
            "-XX:-UsePerfData",  # else it writes into the system's temporary folder
            f"-Djava.io.tmpdir={os.environ['TEMP']}",
            f"-Djava.library.path={folder}/DynamoDBLocal_lib",
            "-jar",
            f"{folder}/DynamoDBLocal.jar",
            "-port",
            str(server.port),
            *(["-inMemory"] if server.in_memory else ["-dbPath", server.db_path]),
        ]

    DynamoDBLocalPackageInstaller.install = nothing
    DynamoDBLocalPackageInstaller.get_java_env_vars = nothing
    DynamodbServer._create_shell_command = command  # noqa: SLF001 - there is no public way


def keep_iterators_whole():
    """This DynamoDB Local's shard iterators begin with '000|', which the streams provider's rewriting drops."""
    from localstack.services.dynamodbstreams.v2.provider import DynamoDBStreamsProvider

    rewrite = DynamoDBStreamsProvider.modify_stream_arn_for_ddb_local

    def whole(provider, name):
        return ("000|" if name.startswith("000|") else "") + rewrite(provider, name)

    DynamoDBStreamsProvider.modify_stream_arn_for_ddb_local = whole


def listen_where_told():
    """LocalStack takes the port of GATEWAY_LISTEN and leaves out its host: it would listen on all interfaces."""
    from twisted.internet import endpoints

    host = os.environ["GATEWAY_LISTEN"].rpartition(":")[0]
    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface=host)


def main():
    """Settings first: LocalStack reads them while it is imported."""
    folder, leash = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.makedirs(os.environ["FILESYSTEM_ROOT"], exist_ok=True)
    use_dynamodb_of(folder, leash)
    keep_iterators_whole()
    listen_where_told()
    from localstack.runtime.main import main as serve

    serve()


main()
