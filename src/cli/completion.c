/* `mop help completion`: what bash needs to complete mop's words, from the tables of commands and options. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* The script behind the tables. Readline cuts words at "=", as COMP_WORDBREAKS says by default; without that a word is key=value. */
static const char script[] =
    "_mop() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]} key='' pre='' values files=() keys=() file\n"
    "    COMPREPLY=()\n"
    "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_mop_commands) --help --version\" -- \"$cur\")\n"
    "        return\n"
    "    fi\n"
    "    if [[ $cur == '=' ]]; then\n"
    "        key=${COMP_WORDS[COMP_CWORD - 1]} cur=''\n"
    "    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == '=' ]]; then\n"
    "        key=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    elif [[ $cur == *=* ]]; then\n"
    "        key=${cur%%=*} pre=$key= cur=${cur#*=}\n"
    "    fi\n"
    "    if [[ $key ]]; then\n"
    "        values=$(_mop_values \"$cmd\" \"$key\")\n"
    "        if [[ $values == FILE ]]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t COMPREPLY < <(compgen -P \"$pre\" -f -- \"$cur\")\n"
    "        else\n"
    "            mapfile -t COMPREPLY < <(compgen -P \"$pre\" -W \"$values\" -- \"$cur\")\n"
    "        fi\n"
    "        return\n"
    "    fi\n"
    "    mapfile -t keys < <(compgen -S = -W \"$(_mop_keys \"$cmd\")\" -- \"$cur\")\n"
    "    case $(_mop_files \"$cmd\") in\n"
    "    run) mapfile -t files < <(compgen -d -- \"$cur\"; compgen -f -X '!*.yaml' -- \"$cur\"; compgen -f -X '!*.yml' -- \"$cur\") ;;\n"
    "    folder) mapfile -t files < <(compgen -d -- \"$cur\") ;;\n"
    "    esac\n"
    "    if [[ $COMP_CWORD -eq 2 ]]; then mapfile -t COMPREPLY < <(compgen -W \"$(_mop_words \"$cmd\")\" -- \"$cur\"); fi\n"
    "    if [[ ${#keys[@]} -eq 0 && ${#COMPREPLY[@]} -eq 0 ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        COMPREPLY=(\"${files[@]}\")\n"
    "        return\n"
    "    fi\n"
    "    if [[ ${#keys[@]} -gt 0 ]]; then compopt -o nospace 2>/dev/null; fi\n"
    "    COMPREPLY+=(\"${keys[@]}\")\n"
    "    for file in \"${files[@]}\"; do # among keys bash would quote the \"=\" of these as well\n"
    "        if [[ -d $file ]]; then file+=/; fi\n"
    "        COMPREPLY+=(\"$(printf %q \"$file\")\")\n"
    "    done\n"
    "}\n"
    "complete -F _mop mop\n";

static void keys(const struct opt *o) {
    for (; o->key; o++) (void)printf(" %s", o->key);
}

/* What may stand behind the keys of `command` ("*": of a run), one line each. */
static void values(const char *command, const struct opt *o) {
    for (; o->key; o++) {
        if (o->type == OPT_INT || o->type == OPT_FLOAT) continue;
        (void)printf("    %s:%s) echo '", command, o->key);
        for (const char *c = o->type == OPT_BOOL ? "true|false" : o->type == OPT_CHOICE ? o->choices : "FILE"; *c; c++)
            (void)putchar(*c == '|' ? ' ' : *c);
        (void)printf("' ;;\n");
    }
}

/* The plain words with which forms of a command begin: `dispatch` of "dispatch plan=1". */
static void words(const struct cli_command *c) {
    const char *last = "";
    size_t last_n = 0;
    for (const char *line = c->usage; *line;) {
        const size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz-");
        const bool word = n && (line[n] == ' ' || line[n] == '\n' || !line[n]), again = n == last_n && strncmp(line, last, n) == 0;
        if (word && !again) (void)printf(" %.*s", (int)n, line);
        last = line;
        last_n = n;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}

static void commands(void) {
    for (const struct cli_command *c = cli_commands; c->name; c++) (void)printf(" %s", c->name);
}

static bool takes_folder(const struct cli_command *c) { return strncmp(c->usage, "DIR", 3) == 0 || strncmp(c->usage, "RUN ", 4) == 0; }

void completion_print(void) {
    struct opt_table tables[OPT_TABLES];
    struct options unused;
    const int count = cli_tables(tables, &unused);
    (void)printf("# bash completion of mop; made by `mop help completion`\n_mop_commands() { echo");
    commands();
    (void)printf("; }\n_mop_words() {\n    case $1 in\n    help) echo");
    commands();
    for (const struct cli_topic *t = cli_topics; t->name; t++) (void)printf(" %s", t->name);
    (void)printf(" ;;\n");
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (c->takes_run || c->run == cmd_help) continue;
        (void)printf("    %s) echo", c->name);
        words(c);
        (void)printf(" ;;\n");
    }
    (void)printf("    esac\n}\n_mop_keys() {\n    local run='");
    for (int i = 0; i < count; i++) keys(tables[i].opts);
    (void)printf("'\n    case $1 in\n");
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (!c->takes_run && !c->opts) continue;
        (void)printf("    %s) echo%s", c->name, c->takes_run ? " \"$run\"" : "");
        if (c->opts) keys(c->opts);
        (void)printf(" ;;\n");
    }
    (void)printf("    esac\n}\n_mop_values() { # FILE: names of files\n    case $1:$2 in\n");
    for (const struct cli_command *c = cli_commands; c->name; c++)
        if (c->opts) values(c->name, c->opts);
    for (int i = 0; i < count; i++) values("*", tables[i].opts);
    (void)printf("    esac\n}\n_mop_files() {\n    case $1 in\n");
    for (const struct cli_command *c = cli_commands; c->name; c++)
        if (c->takes_run || takes_folder(c)) (void)printf("    %s) echo %s ;;\n", c->name, takes_folder(c) ? "folder" : "run");
    (void)printf("    esac\n}\n%s", script);
}
