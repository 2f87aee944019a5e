// LocalForward, RemoteForward and DynamicForward of an ssh_config: one tunnel for each Host block that has some. Pure.
import type { Found, FoundTunnel, LeftBehind, Setting, SshForward } from './found.ts';
import { nameFrom } from './found.ts';
import { carryOption, mergeSettings } from './ssh-options.ts';

/** A line as the config's own reader of ssh_config takes it apart. */
export type SshConfigLine =
  | { readonly number: number; readonly keyword: string; readonly words: readonly string[] }
  | { readonly number: number; readonly problem: string };

interface Block {
  readonly line: number;
  /** Null: the lines apply to more than one named host, for the reason given. */
  readonly alias: string | null;
  readonly why: string;
  readonly forwards: SshForward[];
  settings: Record<string, Setting>;
}

const letters: Readonly<Record<string, SshForward['letter']>> = {
  localforward: 'L',
  remoteforward: 'R',
  dynamicforward: 'D',
};

/**
 * `own`: the user's own file, which every `host:` of ours is looked up in: then the alias says all the rest. Of any
 * other file the settings of the block are taken along.
 */
export function readSshConfig(lines: readonly SshConfigLine[], own: boolean): Found {
  const left: LeftBehind[] = [];
  const start = { line: 1, alias: null, why: 'it stands before the first Host', forwards: [], settings: {} };
  const blocks: Block[] = [start];
  for (const line of lines) {
    const block = blocks.at(-1) ?? start;
    if ('problem' in line) left.push({ line: line.number, reason: line.problem });
    else if (line.keyword === 'host') blocks.push(hostBlock(line.number, line.words, left));
    else if (line.keyword === 'match')
      blocks.push({ ...start, line: line.number, why: 'it stands below Match', forwards: [], settings: {} });
    else if (line.keyword === 'include')
      left.push({
        line: line.number,
        reason: `Include ${line.words.join(' ')} is a file to import by its name`,
      });
    else if (letters[line.keyword] !== undefined) takeForward(block, line, left);
    else if (!own) takeSetting(block, line, left);
  }
  const tunnels = blocks.flatMap(({ line, alias, forwards, settings }): FoundTunnel[] =>
    alias === null || forwards.length === 0
      ? []
      : [{ name: nameFrom(alias), line, host: alias, forwards, settings: own ? {} : withoutAlias(settings) }],
  );
  return { tunnels, left: left.toSorted((one, other) => one.line - other.line) };
}

/** An entry that names its host stands alone; the alias means nothing elsewhere. */
const withoutAlias = (settings: Record<string, Setting>): Record<string, Setting> =>
  settings['hostname'] === undefined ? settings : { ...settings, ssh_config: false };

function hostBlock(line: number, words: readonly string[], left: LeftBehind[]): Block {
  const names = words.filter((word) => !/[*?!]/.test(word));
  const [alias = null, ...others] = names;
  const also =
    others.length === 0 ? null : `the tunnel is made for ${alias}, not for ${others.join(', ')} too`;
  if (also !== null) left.push({ line, reason: also });
  return { line, alias, why: `Host ${words.join(' ')} names no single host`, forwards: [], settings: {} };
}

function takeForward(
  block: Block,
  { number, keyword, words }: { number: number; keyword: string; words: readonly string[] },
  left: LeftBehind[],
): void {
  const leave = (reason: string): unknown => left.push({ line: number, reason: `${keyword}: ${reason}` });
  const letter = letters[keyword] ?? 'L';
  const unknown = words.find((word) => /%[A-Za-z]|\$\{/.test(word));
  if (block.alias === null) leave(`${block.why}, and a tunnel needs one server`);
  else if (unknown !== undefined) leave(`${unknown} is filled in by ssh only`);
  else if (letter === 'R' && words.length === 1)
    leave('a SOCKS server on the far side needs allow: with what it may reach');
  else if (words.length !== (letter === 'D' ? 1 : 2))
    leave(`${words.join(' ')} is not what ssh_config(5) takes`);
  else block.forwards.push({ letter, spec: words.join(':') });
}

function takeSetting(
  block: Block,
  { number, keyword, words }: { number: number; keyword: string; words: readonly string[] },
  left: LeftBehind[],
): void {
  const carried = carryOption(keyword, words);
  if (carried === null) return;
  if (block.alias === null || carried.note !== undefined)
    left.push({ line: number, reason: carried.note ?? `${keyword}: ${block.why}` });
  if ('settings' in carried) block.settings = mergeSettings(block.settings, carried.settings);
}
