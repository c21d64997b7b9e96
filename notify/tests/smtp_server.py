"""A mail server for tests: aiosmtpd with STARTTLS, TLS and AUTH. Says its port in its first line, then each mail as a
line of JSON; ends with its standard input. usage: smtp_server.py starttls|tls|plain CERT KEY USER PASSWORD"""
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

mode, cert, key, user, password = sys.argv[1:6]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"): return "550 5.1.1 no such user \x1b[31mhere"
        if address.startswith("later@"): return "451 4.3.0 greylisted, try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode(),
                          "tls": session.ssl is not None or mode == "tls", "login": session.authenticated or False}), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    right = data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=right, handled=False)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if mode != "plain": context.load_cert_chain(cert, key)
    options = {"hostname": "mail.test", "authenticator": login}
    if mode == "starttls": options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
    if mode == "tls": options |= {"auth_required": True, "auth_require_tls": False}
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler(), **options), "127.0.0.1", 0,
                                                            ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
