#include "tests/support/td_test.h"
int main(void)
{
    return 0;
}
