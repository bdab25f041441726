/* What ports without an operating system share: the painted stack and the main loop. */
#ifndef ESPIKE_BARE_H
#define ESPIKE_BARE_H

/* Has the stack not run over its end? */
int bare_stack_whole(void);

/* A port's: does a byte from the host wait? */
int bare_received(void);

#endif
