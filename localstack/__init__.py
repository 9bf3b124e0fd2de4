"""The AWS side of the stack as data: the CloudFormation template, the locked versions of the two emulators and the
launcher that runs LocalStack without its image. Nothing here is imported by the application; `headrace` reads it.
"""
