/* Socket addresses as text for logs and faults. */
#ifndef BOURN_IO_ADDRESS_H
#define BOURN_IO_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT_MAX = 56 }; /* "[", 45 of IPv6, "]:65535" and NUL */

/* "127.0.0.1:4711", "[::1]:4711", or "unix" for a socket without address. */
void address_format(const struct sockaddr_storage *address, char into[ADDRESS_TEXT_MAX]);

/* Is the other end on this machine? */
bool address_is_loopback(const struct sockaddr_storage *address);

#endif
