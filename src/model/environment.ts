// Environments: what a supervisor starts with, and what it takes from the commands that talk to it. Pure.
import { isAbsolute, join } from 'node:path';
import type { PlaceFacts } from '../paths.ts';
import type { CallerEnvironment } from './session.ts';

type Variables = Readonly<Record<string, string | undefined>>;

const listed = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'TMPDIR', 'DBUS_SESSION_BUS_ADDRESS'];
const listedBeginnings = ['LC_', 'XDG_', 'TUNNEL_'];
/** Without these Windows starts no program and finds no folder. */
const listedOnWindows = [
  'SYSTEMROOT',
  'APPDATA',
  'LOCALAPPDATA',
  'USERPROFILE',
  'TEMP',
  'TMP',
  'PATHEXT',
  'COMSPEC',
];
/** Places among them: a supervisor lives in `/`, so a relative one would mean another folder there. */
const places = ['HOME', 'TMPDIR', 'TUNNEL_HOME', 'TUNNEL_CONFIG'];

/** The listed part of an environment (SPEC 2): all that a supervisor in the background is started with. */
export function supervisorEnvironment(
  facts: Pick<PlaceFacts, 'env' | 'cwd' | 'platform'>,
): Record<string, string> {
  const windows = facts.platform === 'win32';
  const wanted = (name: string): boolean => {
    const word = windows ? name.toUpperCase() : name;
    if (listed.includes(word) || (windows && listedOnWindows.includes(word))) return true;
    return listedBeginnings.some((beginning) => word.startsWith(beginning));
  };
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(facts.env)) {
    if (value === undefined || !wanted(name)) continue;
    const relative = places.includes(name) && value !== '' && !value.startsWith('~') && !isAbsolute(value);
    result[name] = relative ? join(facts.cwd, value) : value;
  }
  return result;
}

/** The environment of a command, as it travels with `up` and `restart`. */
export function callerEnvironment(env: Variables): CallerEnvironment {
  const variables = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const agent = env['SSH_AUTH_SOCK'];
  return {
    variables: Object.fromEntries(variables),
    agentSockets: agent === undefined || agent === '' ? [] : [agent],
  };
}

/** How many agents are remembered: one a terminal session, the oldest are long gone. */
const agentLimit = 8;

/** Adds the agents of earlier commands behind those of this one. Answers the environment and what to remember. */
export function withKnownAgents(
  environment: CallerEnvironment,
  known: readonly string[],
): { readonly environment: CallerEnvironment; readonly agents: readonly string[] } {
  const agents = [...new Set([...environment.agentSockets, ...known])].slice(0, agentLimit);
  return { environment: { ...environment, agentSockets: agents }, agents };
}
