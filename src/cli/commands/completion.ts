// `tunnel completion bash|zsh|fish`: a script that makes the shell ask `tunnel __complete` at each Tab. It knows no command by itself,
// so it stays right when the program is replaced.
import { basename } from 'node:path';
import { shellWord } from '../../model/shell-word.ts';
import { usage, type CommandSpec, type Run } from '../command.ts';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

export const spec: CommandSpec = {
  name: 'completion',
  words: 'bash|zsh|fish',
  takes: { least: 1, most: 1 },
  about: 'print a script that completes commands, options and names in your shell',
  more: [
    'Names, tags and hosts are those of the config in use, with their states where the shell shows descriptions.',
    'Tab starts, runs and asks nothing.',
  ],
  options: [],
  examples: [
    ["echo 'source <(tunnel completion bash)' >> ~/.bashrc", ''],
    ["echo 'source <(tunnel completion zsh)' >> ~/.zshrc", 'behind compinit'],
    ['tunnel completion fish > ~/.config/fish/completions/tunnel.fish', ''],
  ],
};

export const run: Run = (context, args) => {
  const [word = ''] = args.words;
  if (!isShell(word)) {
    const mine = basename(context.facts.env['SHELL'] ?? '');
    throw usage(`there is a completion for ${shells.join(', ')}, not for ${shellWord(word)}`, {
      command: `completion ${isShell(mine) ? mine : 'bash'}`,
    });
  }
  context.stdout.write(scripts[word]);
  return Promise.resolve(0);
};

const isShell = (word: string): word is Shell => shells.some((shell) => shell === word);

// In each of them `command tunnel`: the one on the PATH, never a ./tunnel of the folder somebody stands in.

/** Bash takes words apart at : = and @ (COMP_WORDBREAKS), and puts a candidate in place of the last piece, an @ included. For 3.2 too, of macOS. */
const bash = `# bash completion for tunnel
_tunnel() {
  local rest=\${COMP_LINE:0:COMP_POINT} words=() count=0 index trimmed piece
  for ((index = 0; index <= COMP_CWORD; index++)); do
    trimmed=\${rest#"\${rest%%[![:space:]]*}"}
    piece=\${COMP_WORDS[index]}
    if ((index == COMP_CWORD)); then piece=$trimmed; fi
    if ((count > 0)) && [[ $trimmed == "$rest" ]]; then
      words[count - 1]+=$piece
    else
      words[count]=$piece
      count=$((count + 1))
    fi
    rest=\${trimmed#"$piece"}
  done
  local current=\${words[count - 1]} breaks=\${COMP_WORDBREAKS//[^:=@]/} kept='' line
  if [[ $breaks != '' ]]; then kept=\${current%"\${current##*["$breaks"]}"}; fi
  kept=\${kept%@}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "\${current#"$kept"}")
    else
      COMPREPLY+=("\${line#"$kept"}")
    fi
  done < <(command tunnel __complete bash "\${words[@]:1}" 2>/dev/null)
}
complete -F _tunnel tunnel
`;

const zsh = `#compdef tunnel
# zsh completion for tunnel
_tunnel() {
  local line word
  local -a before found
  before=("\${(@)words[2,CURRENT-1]}")
  ((CURRENT > 2)) || before=()
  for line in \${(f)"$(command tunnel __complete zsh $before "$PREFIX" 2>/dev/null)"}; do
    if [[ $line == :files ]]; then
      _files
      continue
    fi
    word=\${line%%$'\\t'*}
    found+=("\${word//:/\\\\:}\${\${line#$word}/#$'\\t'/:}")
  done
  ((${'$'}#found == 0)) || _describe -V tunnel found
}
if [[ $funcstack[1] == _tunnel ]]; then
  _tunnel "$@"
elif (($+functions[compdef])); then
  compdef _tunnel tunnel
fi
`;

const fish = `# fish completion for tunnel
function __tunnel_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    for line in (command tunnel __complete fish $before[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            set -l option (string match -r -- '^--[^=]*=' "$current")
            for path in (__fish_complete_path (string replace -- "$option" '' "$current"))
                printf '%s\\n' "$option$path"
            end
        else
            printf '%s\\n' $line
        end
    end
end
complete -c tunnel -f -k -a '(__tunnel_complete)'
`;

const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };
