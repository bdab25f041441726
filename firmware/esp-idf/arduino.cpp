// Arduino's entry
#include <Arduino.h>

#include "esp-idf/start.h"

void setup() { espike_start(); }

void loop() { delay(1000); }
