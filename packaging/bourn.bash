# shellcheck shell=bash
# Completion of `bourn` in bash: verbs, options, the names of topics. All of it is asked of the program
# itself, so there is nothing to keep up to date here.

# Topics of the broker that BOURN_URL names; none, and nothing said, when there is none.
_bourn_topics() {
	timeout 1 "$1" topic list 2>/dev/null
}

# What may stand after this verb, but for options.
_bourn_words() {
	case $2 in
	help | "") "$1" help | sed -n '/^Exit/q; /^`bourn/q; s/^  \([a-z]*\) .*/\1/p' ;;
	topic) [ "$3" -gt 0 ] && _bourn_topics "$1" ||
		printf '%s\n' list create describe alter purge delete ;;
	config) [ "$3" -gt 0 ] || printf '%s\n' check show ;;
	hook) [ "$3" -gt 0 ] || printf '%s\n' test ;;
	produce | consume) [ "$3" -gt 0 ] || _bourn_topics "$1" ;;
	subscribe | dump) _bourn_topics "$1" ;;
	esac
}

_bourn() {
	local bourn=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} verb='' count=0 i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; else count=$((count + 1)); fi ;;
		esac
	done
	local words
	case $verb:$word in
	:-*) words='--help --version' ;;
	*:-*) words=$("$bourn" help "$verb" 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u) ;;
	*) words=$(_bourn_words "$bourn" "$verb" "$count") ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

# Where it offers nothing, files.
complete -o default -F _bourn bourn
