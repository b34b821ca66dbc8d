"""An S3 for the tests: moto, which checks signatures and policies from the fifth request on. Run by the python of a venv with
moto[server]. Prints `port N ID SECRET`; then one command a line by stdin, each answered by a line: put TEXT, del, get, read KEY,
rotate
"""
import os
import sys

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"
import json

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]


def client(service, key="x", secret="x"):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


client("s3").create_bucket(Bucket="ops")
iam = client("iam")
iam.create_user(UserName="agents")
policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*", "iam:*"], "Resource": "*"}],
}
iam.put_user_policy(UserName="agents", PolicyName="p", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName="agents")["AccessKey"]
print("port", port, key["AccessKeyId"], key["SecretAccessKey"], flush=True)
s3 = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
for line in sys.stdin:
    words = line.rstrip("\n").split(" ", 1)
    answer = "done"
    try:
        if words[0] == "put":
            s3.put_object(Bucket="ops", Key="agents/stop", Body=words[1].encode())
        elif words[0] == "del":
            s3.delete_object(Bucket="ops", Key="agents/stop")
        elif words[0] == "rotate":
            me = client("iam", key["AccessKeyId"], key["SecretAccessKey"])
            new = me.create_access_key(UserName="agents")["AccessKey"]
            me.delete_access_key(UserName="agents", AccessKeyId=key["AccessKeyId"])
            key = new
            s3 = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
            answer = "%s %s" % (key["AccessKeyId"], key["SecretAccessKey"])
        elif words[0] == "read":
            answer = s3.get_object(Bucket="ops", Key=words[1])["Body"].read().decode()
        else:
            answer = s3.get_object(Bucket="ops", Key="agents/stop")["Body"].read().decode()
    except Exception as error:
        answer = "failed %r" % error
    print(answer.replace("\n", " "), flush=True)
os._exit(0)
