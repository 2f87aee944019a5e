// Command lines in a shell script, a systemd unit or a paste: taken apart into words, each with what cannot be known of it. Pure.

export interface ShellWord {
  readonly text: string;
  /** A variable or a command whose value is known only when it runs; null for a word that is plain. */
  readonly unknown: string | null;
}

export interface ShellCommand {
  /** Of its first word, from 1. */
  readonly line: number;
  readonly words: readonly ShellWord[];
}

/** Variables that the text itself gives a plain value. */
type Known = Map<string, string | null>;

/** Every simple command of a text, in order. Variables that are set once to something plain are filled in. */
export function shellCommands(text: string): readonly ShellCommand[] {
  const known: Known = new Map([['HOME', '~']]);
  const commands: ShellCommand[] = [];
  for (const { line, written } of logicalLines(text)) {
    for (const words of takeApart(execStart(written, known), known)) {
      const assignments = words.map(({ text: word }) => /^([A-Za-z_]\w*)=(.*)$/s.exec(word));
      if (assignments.every((each) => each !== null))
        for (const [index, each] of assignments.entries())
          remember(known, each[1] ?? '', words[index]?.unknown === null ? (each[2] ?? '') : null);
      else commands.push({ line, words });
    }
  }
  return commands;
}

/** A name that is set twice may be either. */
function remember(known: Known, name: string, value: string | null): void {
  known.set(name, known.has(name) && known.get(name) !== value ? null : value);
}

function logicalLines(text: string): readonly { line: number; written: string }[] {
  const lines: { line: number; written: string }[] = [];
  let open = null as { line: number; written: string } | null;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const continued = /(^|[^\\])(\\\\)*\\\s*$/.test(raw) && !/^\s*#/.test(raw);
    const part = continued ? raw.replace(/\\\s*$/, ' ') : raw;
    open = open === null ? { line: index + 1, written: part } : { ...open, written: open.written + part };
    if (continued) continue;
    lines.push(open);
    open = null;
  }
  return open === null ? lines : [...lines, open];
}

/** Of a systemd unit (systemd.service(5)): what ExecStart= runs; Environment= is remembered. Any other line as it is. */
function execStart(written: string, known: Known): string {
  const environment = /^\s*Environment=(.*)$/.exec(written);
  if (environment !== null) {
    for (const { text } of takeApart(environment[1] ?? '', new Map()).flat()) {
      const [, name = '', value = ''] = /^(\w+)=(.*)$/s.exec(text) ?? [];
      if (name !== '') remember(known, name, value);
    }
    return '';
  }
  const run = /^\s*ExecStart(?:Pre|Post)?=[-@:+!]*(.*)$/.exec(written);
  return run === null
    ? written
    : (run[1] ?? '').replaceAll(/%([%h])/g, (_, which: string) => (which === 'h' ? '~' : '%'));
}

interface Taking {
  readonly known: Known;
  readonly commands: ShellWord[][];
  words: ShellWord[];
  text: string;
  unknown: string | null;
  /** True inside a word, also an empty one in quotes. */
  open: boolean;
}

const separators = ';&|()`\n';

/** Words by the rules of sh(1): quotes, backslashes, comments; split where one command ends and the next begins. */
function takeApart(line: string, known: Known): readonly (readonly ShellWord[])[] {
  const taking: Taking = { known, commands: [], words: [], text: '', unknown: null, open: false };
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (quote === '' && !taking.open && character === '#') break;
    if (character === '$' && quote !== "'") at += takeVariable(line.slice(at), taking) - 1;
    else if (character === '\\' && quote !== "'" && (quote === '' || /["\\$`]/.test(line.charAt(at + 1)))) {
      add(taking, line.charAt(at + 1));
      at += 1;
    } else if (character === quote) quote = '';
    else if (quote === '' && (character === '"' || character === "'")) {
      quote = character;
      taking.open = true;
    } else if (quote === '' && /\s/.test(character)) endWord(taking);
    else if (quote === '' && separators.includes(character)) endCommand(taking);
    else if (character === '%' && /^%[a-zA-Z]/.test(line.slice(at))) {
      add(taking, line.slice(at, at + 2));
      taking.unknown ??= line.slice(at, at + 2);
      at += 1;
    } else add(taking, character);
  }
  endCommand(taking);
  return taking.commands;
}

function add(taking: Taking, text: string): void {
  taking.text += text;
  taking.open = true;
}

/** How many characters it is long. */
function takeVariable(rest: string, taking: Taking): number {
  const [whole, braced, bare] = /^\$(?:\{(\w+)\}|(\w+))/.exec(rest) ?? [];
  const name = braced ?? bare;
  const value = name === undefined ? undefined : taking.known.get(name);
  if (whole !== undefined && typeof value === 'string') {
    add(taking, value);
    return whole.length;
  }
  const shown = whole ?? /^\$(?:\([^)]*\)|\{[^}]*\}|.?)/.exec(rest)?.[0] ?? '$';
  taking.unknown ??= shown;
  add(taking, shown);
  return shown.length;
}

function endWord(taking: Taking): void {
  if (taking.open) taking.words.push({ text: taking.text, unknown: taking.unknown });
  taking.text = '';
  taking.unknown = null;
  taking.open = false;
}

function endCommand(taking: Taking): void {
  endWord(taking);
  if (taking.words.length > 0) taking.commands.push(taking.words);
  taking.words = [];
}
