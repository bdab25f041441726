/* the SDK's entry -> espike's task */
#ifndef ESPIKE_START_H
#define ESPIKE_START_H

#ifdef __cplusplus
extern "C" {
#endif

/* Open the link and start the application in a task of its own. Returns at once. */
void espike_start(void);

#ifdef __cplusplus
}
#endif
#endif
