# Knowledge points left only: a file of a layer includes its own layer and those before it.
# Input: every source file under src/. Prints each include that breaks the rule; exit 1 if any.
BEGIN {
	count = split("base wire record core io store hook broker front server", layer, " ")
	for (i = 1; i <= count; i++)
		place[layer[i]] = i
	client = " base wire record io client "
}

/^#include "[a-z_]+\// {
	split(FILENAME, path, "/")
	split(substr($2, 2), target, "/")
	from = path[2]
	to = target[1]
	if (from == "cli" || from ~ /\.c$/ || to == "bourn") # the top, main, the public headers
		next
	if (from == "client" ? index(client, " " to " ") : to in place && place[to] <= place[from])
		next
	printf "%s:%d: %s may not include %s: layers point left only\n", FILENAME, FNR, from, $2
	broken = 1
}

END { exit broken }
