"""What a program needs of this machine to use the network: how names become addresses, and whom TLS believes. Pure.

A request with `network` shares the network of the machine. There is no half of it: besides the internet, the program
reaches whatever listens on the machine's loopback and in its surroundings, a cloud's metadata service included. Sockets
that are files stay out of reach, and so do lines to a virtual machine's host and raw packets. Abstract sockets stay out
of reach by Landlock from its sixth version on; on an older kernel, bubblewrap lets the program reach those of the machine.
"""

from typing import Final

NETWORK_FILES: Final = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/ssl/openssl.cnf",
)  # fmt: skip
"""Files of the machine, where it has them; none of them is a secret."""
NETWORK_FOLDERS: Final = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted")
"""The certificates that are believed, as Debian and as Fedora keep them; the folders of private keys lie beside them."""
