/* ESP-IDF's entry */
#include "esp-idf/start.h"

void app_main(void);

void app_main(void) { espike_start(); }
