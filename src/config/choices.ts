// Values that are one of a few words or something else: agent, hold, idle_timeout, ssh_config, ways, hooks, version. Pure.
import { commandProblem, tokenWords } from '../model/proxy-command.ts';
import type { Hold } from '../model/tunnel.ts';
import { hops, login } from './address.ts';
import {
  argumentList,
  duration,
  ok,
  positiveDuration,
  several,
  text,
  wrong,
  word,
  type Parsed,
} from './value.ts';

/** true | false | path of a socket. */
export function agent(value: unknown): Parsed<boolean | string> {
  if (typeof value === 'boolean') return ok(value);
  const read = text(value);
  if ('problem' in read || !/^(\/|~\/|\.\.?\/|\\\\)/.test(read.value))
    return wrong('must be true, false or the path of a socket');
  return read;
}

export function hold(value: unknown): Parsed<Hold> {
  if (value === 'refuse') return ok({ kind: 'refuse' });
  const read = duration(value);
  if ('problem' in read)
    return wrong(read.problem.startsWith('needs') ? read.problem : `${read.problem}, or refuse`);
  return ok({ kind: 'wait', ms: read.value });
}

/** Null: never. */
export function idleTimeout(value: unknown): Parsed<number | null> {
  if (value === 'never') return ok(null);
  return positiveDuration(value);
}

/** `none` clears what was inherited. */
export function proxyCommand(value: unknown): Parsed<string> {
  const read = text(value);
  if ('problem' in read) return read;
  const problem = commandProblem(read.value);
  return problem === null ? read : wrong(`cannot be started: ${problem}; tokens are ${tokenWords}`);
}

/** An alias, or null for "do not read ssh_config for this host". */
export function sshAlias(value: unknown): Parsed<string | null> {
  if (value === false) return ok(null);
  if (value === true) return wrong('must be the name of an alias, or false');
  return word(value);
}

/** Each entry replaces `jump`: a host, a list of hosts, or `direct`. */
export function ways(value: unknown): Parsed<readonly (readonly string[])[]> {
  if (!Array.isArray(value) || value.length === 0) return wrong('must be a list of hosts; direct for none');
  return several(value.entries(), (item) => (item === 'direct' ? ok([]) : hops(item)));
}

/** The word after `host:`, as it stands: what it names is found out when it is resolved. */
export function hostWord(value: unknown): Parsed<string> {
  const read = login(value);
  return 'problem' in read ? read : word(value);
}

export function version(value: unknown): Parsed<1> {
  return value === 1 ? ok(1) : wrong('must be 1, the only version there is');
}

/** Commands by event, each as a list of arguments. */
export function commands(value: unknown): Parsed<Readonly<Record<string, readonly string[]>>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return wrong('must be a map of event: [program, argument]');
  const read = several(
    Object.entries(value),
    (command, event): Parsed<readonly [string, readonly string[]]> => {
      const argv = argumentList(command);
      return 'value' in argv ? ok([String(event), argv.value]) : argv;
    },
  );
  return 'value' in read ? ok(Object.fromEntries(read.value)) : read;
}
