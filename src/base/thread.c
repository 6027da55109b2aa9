#include "base/thread.h"

int thread_start(pthread_t *id, void *(*main)(void *), void *arg) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int why = pthread_attr_setstacksize(&attr, THREAD_STACK);
    if (why == 0) why = pthread_create(id, &attr, main, arg);
    pthread_attr_destroy(&attr);
    return why;
}
