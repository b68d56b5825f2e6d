"""How a response is judged: in processes that can be killed, or by a server."""
