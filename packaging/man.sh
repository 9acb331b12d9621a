#!/bin/sh
# man.sh BOURN: the manual page bourn(1) on stdout, out of what that binary says of itself: so it needs
# no writing, and cannot be of another version.
set -eu
bourn=$1
version=$("$bourn" version | cut -d ' ' -f 2)

# As it stands: a dot at a line's beginning, or a backslash, would be troff's.
literal() {
	printf '.nf\n'
	sed -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" -e 's/-/\\-/g'
	printf '.fi\n'
}

cat <<END
.TH BOURN 1 "" "bourn $version" "User Commands"
.SH NAME
bourn \- an event broker you can drive with curl
.SH SYNOPSIS
.B bourn
.I VERB
.RI [ OPTION ...]
.SH VERBS
END
"$bourn" help | sed '1,/^usage:/d' | literal
for verb in $("$bourn" help | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -vx bourn); do
	printf '.SH bourn %s\n' "$verb"
	"$bourn" help "$verb" | grep -vE -- '^  .*--(help|usage)  ' | literal
done
printf '.SH CONFIGURATION\nAll settings with their defaults, as a file that can be used:\n.PP\n'
"$bourn" config show --defaults | literal
cat <<'END'
.SH ENVIRONMENT
.TP
.B BOURN_URL
the broker that clients talk to
.TP
.B BOURN_SECTION_KEY
a setting, as BOURN_SERVER_PORT; beats the file
.SH SEE ALSO
The pages beside this program's README.md, installed in /usr/share/doc/bourn:
http.md, websocket.md, configuration.md, durability.md, hooks.md, backup.md, moving\-data.md.
END
