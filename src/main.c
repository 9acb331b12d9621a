#include "cli/cli.h"
#include "io/disk.h"

int main(int argc, char **argv)
{
	struct cli_parts parts = {
		.version = BOURN_VERSION, .engines = store_registry_default(), .disk = disk_real()};

	return cli_main(argc, argv, &parts);
}
