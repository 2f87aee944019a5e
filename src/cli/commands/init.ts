// `tunnel init`: three questions, one config. On a terminal it asks (SPEC 7); off a terminal it takes options.
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { localListen, login, target } from '../../config/address.ts';
import { allow, consentDigest } from '../../config/consent.ts';
import { readDeclared } from '../../config/load.ts';
import { defaultKeys } from '../../config/resolve-host.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import { readOwned } from '../../files/owned.ts';
import { textLimitBytes } from '../../config/source.ts';
import { namePattern, nameRule } from '../../config/value.ts';
import { TunnelError } from '../../errors.ts';
import { makeFolders } from '../../files/folders.ts';
import { shellWord } from '../../model/shell-word.ts';
import { namedConfig } from '../../paths.ts';
import { firstConfig, hasNoTunnel, nameFor, portOf, withTunnel, type FirstTunnel } from '../first-config.ts';
import { noWords, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { renewEditorSchema } from '../edited-config.ts';
import { Interrupted, type Context, type Prompter } from '../../client/context.ts';
import { hintText } from '../../render/error.ts';

export const spec: CommandSpec = {
  name: 'init',
  words: '',
  stands: { NAME: 'nothing' },
  takes: noWords,
  about: 'write a first config',
  options: [
    { name: 'host', value: 'HOST', about: 'SSH server: user@host[:port], or a name from ~/.ssh/config' },
    { name: 'remote', value: 'HOST:PORT', about: 'what to reach from there' },
    { name: 'local', value: 'PORT', about: 'port here (default: the same)' },
    { name: 'name', value: 'NAME', about: "the tunnel's name (default: after the host)" },
    {
      name: 'identity',
      value: 'FILE',
      about: 'private key (default: the usual ones of ~/.ssh, and the agent)',
    },
  ],
  examples: [
    ['tunnel init', 'asks three questions'],
    ['tunnel init --host me@bastion --remote db:5432', 'asks none'],
  ],
};

export const run: Run = async (context, args) => {
  const file = namedConfig(context.facts, context.options.config) ?? context.places.defaultConfig;
  const shown = shortPath(file, context.facts);
  const isNew = !existsSync(file);
  const before = isNew ? '' : textWithoutTunnel(file, context);
  if (before === null) {
    throw new TunnelError('USAGE', `${shown} is there already`, {
      hint: `${oneMore(args, isFound(file, context) ? null : shown)}    # one more tunnel in it`,
    });
  }
  const tunnel = await collect(context, args);
  write(file, before.trim() === '' ? firstConfig(tunnel) : withTunnel(before, tunnel), isNew);
  await allowOwn(context, file);
  if (isNew || before.trim() === '') await renewEditorSchema(context, file);
  context.out(`wrote ${shown} with one tunnel, ${tunnel.name}`);
  if (!hasKey(context, tunnel)) {
    context.talk('no private key was found: ~/.ssh has none of the usual names, and no agent is running');
    context.talk(`hint: for a key elsewhere, write identity: FILE under ${tunnel.name} in ${shown}`);
  }
  context.out(`next: ${hintText({ command: 'up' }, isFound(file, context) ? undefined : shown)}`);
  return 0;
};

/** Without being named: in a folder with a tunnels.yaml of its own that one would be used. */
function isFound(file: string, { places, facts }: Context): boolean {
  try {
    return findConfig(places, facts, undefined).path === file;
  } catch {
    return false; // CONFIG_MISSING: it is in no place that is looked at
  }
}

/** What was typed here is nobody else's: it may be used from its own folder too (SPEC 1). */
async function allowOwn({ facts, places, now }: Context, file: string): Promise<void> {
  try {
    await allow(places.stateDir, file, consentDigest(readDeclared(file, facts)), now());
  } catch {
    // a state folder that cannot be written: `up` says so, and the file is there
  }
}

/** Of a file that says something, but not of a tunnel: its first one is added. Null for any other. */
function textWithoutTunnel(file: string, { facts }: Context): string | null {
  try {
    const read = readOwned(file, facts, textLimitBytes);
    return 'text' in read && hasNoTunnel(file, read.text) ? read.text : null;
  } catch {
    return null; // not ours to read: then not ours to write
  }
}

/** `isNew`: what somebody else has put there meanwhile is not written over. */
function write(file: string, text: string, isNew: boolean): void {
  try {
    makeFolders(dirname(file));
    writeFileSync(file, text, { mode: 0o600, flag: isNew ? 'wx' : 'w' });
    if (isNew) chmodSync(file, 0o600);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new TunnelError('CONFIG_MISSING', `cannot write the config, ${file}: ${why}`, {
      cause: thrown,
    });
  }
}

async function collect(context: Context, args: Args): Promise<FirstTunnel> {
  const value = answers(context, args);
  const identity = givenKey(context, args);
  const host = await value(
    'host',
    'SSH server (user@host, or a name from ~/.ssh/config)',
    null,
    problemIn(login),
  );
  const remote = await value('remote', 'Reach what from there (host:port)', null, problemIn(target));
  const local = await value(
    'local',
    'Local port',
    await portHere(context, args, remote),
    problemIn(localListen),
  );
  const name = args.text('name') ?? nameFor(host);
  if (!namePattern.test(name))
    throw usage(`--name ${shellWord(name)}: it ${nameRule}`, { command: 'init --name db' });
  return { host, remote, local, name, identity };
}

/** `tunnel add` with what was given; the rest is to be filled in. */
function oneMore(args: Args, file: string | null): string {
  const remote = args.text('remote') ?? 'REMOTE:PORT';
  const local = args.text('local') ?? portOf(remote) ?? 'PORT';
  const host = args.text('host');
  const name = args.text('name') ?? (host === undefined ? 'NAME' : nameFor(host));
  const config = file === null ? '' : `-c ${shellWord(file)} `;
  return `tunnel ${config}add ${name} -L ${[`${local}:${remote}`, host ?? 'HOST'].map(shellWord).join(' ')}`;
}

/** The port of the target where it is free here, else the next one that is. */
async function portHere(context: Context, args: Args, remote: string): Promise<string | null> {
  const given = args.text('local');
  const wanted = Number(given ?? portOf(remote));
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 65_535) return portOf(remote);
  const { freePortFrom } = await import('../../client/free-port.ts');
  const free = await freePortFrom('127.0.0.1', wanted, null);
  if (free === wanted || free === null) return portOf(remote);
  context.talk(`port ${wanted} is taken here; ${free} is free`);
  return String(free);
}

/** The one that was named, as a path from wherever. Throws USAGE where there is none. */
function givenKey({ facts }: Context, args: Args): string | undefined {
  const given = args.text('identity');
  if (given === undefined) return undefined;
  const isOfHome = given.startsWith('~/');
  const path = isOfHome ? join(facts.home, given.slice(2)) : resolve(facts.cwd, given);
  if (existsSync(path)) return isOfHome ? given : path;
  throw usage(`--identity ${shellWord(given)}: it is no file here`, { command: 'init --help' });
}

/** Whether a login has a key to offer, as far as can be seen: ssh_config may name one. */
function hasKey({ facts: { home, env } }: Context, { identity }: FirstTunnel): boolean {
  if (identity !== undefined || (env['SSH_AUTH_SOCK'] ?? '') !== '') return true;
  return [...defaultKeys, 'config'].some((name) => existsSync(join(home, '.ssh', name)));
}

type Check = (text: string) => string | null;

const problemIn =
  (read: (value: unknown) => { readonly value: unknown } | { readonly problem: string }): Check =>
  (text) => {
    const result = read(text);
    return 'problem' in result ? result.problem : null;
  };

type Value = (option: string, question: string, otherwise: string | null, check: Check) => Promise<string>;

/** From the option where it is given, else from the person, who is asked again until it makes sense. */
function answers(context: Context, args: Args): Value {
  let prompter: Prompter | null = null;
  return async (option, question, otherwise, check) => {
    const given = args.text(option) ?? (context.interactive ? undefined : (otherwise ?? undefined));
    if (given !== undefined) {
      const problem = check(given);
      if (problem === null) return given;
      throw usage(`--${option} ${shellWord(given)}: it ${problem}`, { command: 'init --help' });
    }
    if (!context.interactive) {
      const hint = { command: 'init --host user@host --remote host:port --local port' };
      throw usage(`there is no terminal to ask at, so tunnel init needs --${option}`, hint);
    }
    prompter ??= context.prompter();
    for (;;) {
      const outcome = await prompter.line(question, otherwise);
      if (outcome.kind === 'interrupted') throw new Interrupted('SIGINT');
      if (outcome.kind !== 'answered') throw usage(`"${question}" was not answered`, { command: 'init' });
      const problem = check(outcome.value);
      if (problem === null) return outcome.value;
      context.talk(`${outcome.value} ${problem}`);
    }
  };
}
