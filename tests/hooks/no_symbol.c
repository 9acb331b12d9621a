/* A shared object that is no hook. */
int not_a_hook(void);

int not_a_hook(void)
{
	return 0;
}
