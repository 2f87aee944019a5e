// An ad-hoc tunnel of `up` and `exec`: given a name, judged, and written down where its supervisor finds it.
import { isDeepStrictEqual } from 'node:util';
import type { Context } from '../client/context.ts';
import { adhocTag, changeAdhoc, forgetAdhoc, type AdhocTunnels } from '../config/adhoc.ts';
import { freeName, type NewTunnel } from '../config/edit.ts';
import { checkAdhoc, readDeclared } from '../config/load.ts';
import { findConfig, placesOfConfig } from '../config/locate.ts';
import { namePattern, nameRule } from '../config/value.ts';
import { prepareStateFolders, readOnlyState } from '../files/folders.ts';
import { shellWord } from '../model/shell-word.ts';
import { namedConfig } from '../paths.ts';
import { usage, type Args, type OptionSpec } from './command.ts';
import { readSshTunnel, withAbsolutePaths } from './ssh-tunnel.ts';
import { withValue } from './typed-line.ts';

export const nameOption: OptionSpec = {
  name: 'name',
  value: 'NAME',
  about: 'of the tunnel that -L, -R and -D make (default: after its first forward)',
};

export interface AdhocTunnel {
  readonly name: string;
  /** As it was asked for, where that name was taken. */
  readonly meant: string;
  /** False: the same is there already. */
  readonly isNew: boolean;
  /** Takes it out again, for a command that could not use it. */
  readonly forget: () => Promise<void>;
}

/** Throws USAGE for what cannot be, CONFIG_MISSING for a config that was named and is not there. */
export async function writeAdhoc(context: Context, args: Args, command: string): Promise<AdhocTunnel> {
  const { facts } = context;
  const given = args.text('name');
  if (given !== undefined && !namePattern.test(given))
    throw usage(`--name ${shellWord(given)} ${nameRule}`, { command: `${command} --help` });
  const [host, ...others] = args.words;
  if (others.length > 0)
    throw usage(
      `tunnel ${command} with a forward takes one server, and cannot use ${others.map(shellWord).join(' ')}`,
      { command: `${command} --help` },
    );
  const more = { tags: [adhocTag], autostart: false };
  const read = readSshTunnel(context, args, command, { host, more });
  const tunnel = withAbsolutePaths(read.tunnel, facts.cwd);
  const meant = given ?? read.name;
  return keepAdhoc(context, configOf(context), {
    tunnel,
    meant,
    ...(given === undefined ? {} : { named: args.typed }),
  });
}

/** Beside this config. Throws USAGE for what cannot be. */
export async function keepAdhoc(
  context: Context,
  config: string,
  wish: Omit<Wish, 'taken'>,
): Promise<AdhocTunnel> {
  const { facts, places } = context;
  const { tunnel, meant } = wish;
  await judge(context, config, tunnel);
  const at = placesOfConfig(config, facts);
  if (!prepareStateFolders(places, at, facts)) throw readOnlyState(at);
  const taken = namesIn(context, config);
  let chosen: Choice = { name: meant, isNew: true };
  await changeAdhoc(at.adhoc, facts, (tunnels) => {
    chosen = choose(tunnels, { ...wish, taken });
    return chosen.isNew ? { ...tunnels, [chosen.name]: tunnel } : tunnels;
  });
  const { name, isNew } = chosen;
  return { name, meant, isNew, forget: async () => void (await forgetAdhoc(at.adhoc, facts, [name])) };
}

/** How long ad-hoc tunnels live, and how they would live longer. */
export function tellAdhoc(context: Context, names: readonly string[]): void {
  if (names.length === 0) return;
  const note = { note: names.length === 1 ? 'writes it into the file' : 'each by its name, into the file' };
  const keep = names.length === 1 ? { command: 'keep', on: { words: names } } : { command: 'keep NAME' };
  context.talk([
    names.length === 1 ? 'it lives until ' : 'they live until ',
    { command: 'down', on: { words: names } },
    '; for good: ',
    { ...keep, ...note },
  ]);
}

/** The user's own config, there or not, or the one that was named. */
function configOf({ facts, places, options }: Context): string {
  const named = namedConfig(facts, options.config) ?? places.defaultConfig;
  if (named === places.defaultConfig) return named;
  return findConfig(places, facts, options.config).path;
}

/** A name that no tunnel of the config has. */
const judged = 'ad-hoc.to-be-judged';

async function judge({ facts }: Context, config: string, tunnel: NewTunnel): Promise<void> {
  const [issue] = await checkAdhoc(config, { [judged]: tunnel }, facts);
  if (issue === undefined) return;
  const key = issue.path.replace(`tunnels.${judged}`, '').replace(/^\./, '');
  throw usage(`such a tunnel cannot be: ${key === '' ? '' : `${key} `}${issue.message}`, {
    command: 'up --help',
  });
}

/** Names of the file; of one that cannot be read none: it is complained about when the tunnel is brought up. */
function namesIn({ facts }: Context, config: string): ReadonlySet<string> {
  try {
    const { tunnels } = readDeclared(config, facts);
    return new Set([...tunnels.values()].flatMap(({ name, adhoc }) => (adhoc ? [] : [name])));
  } catch {
    return new Set();
  }
}

interface Choice {
  readonly name: string;
  readonly isNew: boolean;
}

interface Wish {
  readonly tunnel: NewTunnel;
  readonly meant: string;
  readonly taken: ReadonlySet<string>;
  /** The line that named it so; absent: the name is ours to choose. */
  readonly named?: readonly string[];
}

function choose(tunnels: AdhocTunnels, { tunnel, meant, taken, named }: Wish): Choice {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? meant : `${meant}-${number}`;
    const other = Object.hasOwn(tunnels, name) ? tunnels[name] : undefined;
    if (!taken.has(name) && other === undefined) return { name, isNew: true };
    if (!taken.has(name) && isDeepStrictEqual(other, tunnel)) return { name, isNew: false };
    if (named === undefined) continue;
    const words = taken.has(name) ? 'a tunnel' : 'another ad-hoc tunnel';
    const free = freeName(meant, [...taken, ...Object.keys(tunnels)]);
    const line = withValue(named, 'name', free);
    const hint = { command: 'status', on: { tunnel: name } };
    throw usage(
      `there is ${words} named ${name} already`,
      line === null ? hint : `${line}    # under another name`,
    );
  }
}
