// What an import would come to: tunnels with free names, each of which passes `check`; what is there already; what is left behind.
import type { Context } from '../client/context.ts';
import { composeTunnel, nameByForward } from '../config/compose.ts';
import type { DeclaredTunnel, Declared } from '../config/declared.ts';
import { login } from '../config/address.ts';
import { addTunnel, type NewTunnel } from '../config/edit.ts';
import { declaredText } from '../config/load.ts';
import { namePattern } from '../config/value.ts';
import type { Found, FoundTunnel } from '../import/found.ts';
import { problemWith, type EditedConfig } from './edited-config.ts';

export interface Source {
  /** The file as a person writes it. */
  readonly shown: string;
  readonly found: Found;
}

interface Place {
  readonly file: string;
  readonly line: number;
}

export interface Plan {
  readonly added: readonly (Place & { readonly name: string; readonly tunnel: NewTunnel })[];
  readonly skipped: readonly (Place & { readonly name: string })[];
  readonly left: readonly (Place & { readonly reason: string })[];
  /** Of the whole config. */
  readonly text: string;
}

interface Work {
  readonly context: Context;
  readonly config: EditedConfig;
  readonly added: (Place & { name: string; tunnel: NewTunnel })[];
  readonly skipped: (Place & { name: string })[];
  readonly left: (Place & { reason: string })[];
  text: string;
  declared: Declared | null;
}

export async function planImport(
  context: Context,
  config: EditedConfig,
  sources: readonly Source[],
): Promise<Plan> {
  const work: Work = { context, config, added: [], skipped: [], left: [], text: config.text, declared: null };
  work.declared = declaredOrNull(work, config.text);
  for (const { shown, found } of sources) {
    for (const { line, reason } of found.left) work.left.push({ file: shown, line, reason });
    for (const tunnel of found.tunnels) await take(work, shown, tunnel);
  }
  return { ...work };
}

function declaredOrNull({ context, config }: Work, text: string): Declared | null {
  try {
    return declaredText(config.path, text, context.facts);
  } catch {
    return null; // a file without a tunnel yet, or with faults that the first addition is refused for
  }
}

async function take(work: Work, file: string, found: FoundTunnel): Promise<void> {
  const place = { file, line: found.line };
  const composed = composeTunnel(found.host, found.forwards, found.settings);
  if ('problem' in composed) return void work.left.push({ ...place, reason: composed.problem });
  const name = freeName(work, found);
  const judged = await judge(work, name, composed.value);
  if ('problem' in judged)
    return void work.left.push({ ...place, reason: `cannot be added: ${judged.problem}` });
  const declared = declaredOrNull(work, judged.text);
  const same = sameAs(work, declared, name);
  if (same !== null) return void work.skipped.push({ ...place, name: same });
  const tell = (reason: string): unknown => work.left.push({ ...place, reason });
  if (judged.shares) tell(`${name} shares a port with another tunnel: it has autostart: false`);
  const wanted = found.name ?? nameByForward(found.host, found.forwards);
  if (name !== wanted) tell(`there is a ${wanted} already: it is named ${name}`);
  work.added.push({ ...place, name, tunnel: judged.tunnel });
  work.text = judged.text;
  work.declared = declared;
}

type Judged =
  | {
      readonly tunnel: NewTunnel;
      readonly text: string;
      /** A port, with a tunnel that is there. */ readonly shares: boolean;
    }
  | { readonly problem: string };

/** As it is, or so that it does not start by itself, which mends one fault only: an address that another tunnel has. */
async function judge({ context, config, text }: Work, name: string, tunnel: NewTunnel): Promise<Judged> {
  const whole = addTunnel(text, name, tunnel);
  const problem = await problemWith(context, config, whole);
  if (problem === null) return { tunnel, text: whole, shares: false };
  const waiting = { ...tunnel, autostart: false };
  const other = addTunnel(text, name, waiting);
  const cured = (await problemWith(context, config, other)) === null;
  return cured ? { tunnel: waiting, text: other, shares: true } : { problem };
}

function freeName({ text, declared, added }: Work, found: FoundTunnel): string {
  const wanted = found.name ?? nameByForward(found.host, found.forwards);
  const base = namePattern.test(wanted) ? wanted : 'tunnel';
  const taken = new Set([...(declared?.tunnels.keys() ?? []), ...added.map(({ name }) => name)]);
  const isTaken = (name: string): boolean =>
    taken.has(name) || (declared === null && text.includes(`${name}:`));
  if (!isTaken(base)) return base;
  for (let number = 2; ; number += 1) if (!isTaken(`${base}-${number}`)) return `${base}-${number}`;
}

/** The name of an older tunnel with the same server and the same forwards; null where there is none. */
function sameAs({ declared }: Work, next: Declared | null, name: string): string | null {
  const tunnel = next?.tunnels.get(name);
  if (next === null || tunnel === undefined || declared === null) return null;
  const own = identity(tunnel, next);
  const same = [...declared.tunnels.values()].find((each) => identity(each, declared) === own);
  return same?.name ?? null;
}

/** Server and forwards, whatever they are called. */
function identity({ settings, forwards }: DeclaredTunnel, { hosts }: Declared): string {
  const read = login(settings.host ?? '');
  const word = 'value' in read ? read.value : { user: null, host: settings.host ?? '', port: null };
  const entry = hosts.get(word.host)?.settings;
  const server = {
    host: settings.hostname ?? entry?.hostname ?? word.host,
    user: settings.user ?? word.user ?? entry?.user ?? null,
    port: settings.port ?? word.port ?? entry?.port ?? 22,
  };
  const ends = forwards.map((forward) =>
    JSON.stringify([forward.type, forward.listen, forward.type === 'dynamic' ? null : forward.target]),
  );
  return JSON.stringify([server, ends.toSorted()]);
}
