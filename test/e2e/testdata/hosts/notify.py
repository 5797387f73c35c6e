# notify.py DIR USER: listens at DIR/notify, where services tell systemd how they do, and appends what it hears to
# DIR/heard.
import os, pwd, socket, sys

path = sys.argv[1] + "/notify"
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ear.bind(path + ".new")
os.chown(path + ".new", pwd.getpwnam(sys.argv[2]).pw_uid, -1)
os.rename(path + ".new", path)
with open(sys.argv[1] + "/heard", "a", buffering=1) as heard:
    while True:
        heard.write(ear.recv(4096).decode() + "\n")
