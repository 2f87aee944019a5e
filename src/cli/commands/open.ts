// `tunnel open NAME`: what its `open:` names, through the tunnel, in the program that the desktop has for it. The URL stands on stdout too.
import { withSupervisor } from '../../client/launch.ts';
import { localEnds } from '../../config/local-ends.ts';
import { readyConfig, type ReadyConfig } from '../../client/ready-config.ts';
import type { Context } from '../../client/context.ts';
import { matchSelectors } from '../../config/selectors.ts';
import { shortPath } from '../../config/locate.ts';
import type { UpResult } from '../../control/protocol.ts';
import { worstExitCode } from '../../errors.ts';
import { NotStarted, startProgram } from '../../files/child.ts';
import { filled } from '../../model/tunnel-variables.ts';
import type { Tunnel } from '../../model/tunnel.ts';
import { bringUp, patienceMs, supervisorOf, type Bringing } from '../bringing.ts';
import { timeoutOption, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { showFailures } from '../conversation.ts';
import { createKeepOffer } from '../keep-offer.ts';

export const spec: CommandSpec = {
  name: 'open',
  words: 'NAME',
  takes: { least: 1, most: 1 },
  about: 'open what a tunnel leads to, by its open:',
  more: [
    'Brings the tunnel up first, as `up` does; it stays up. Prints the URL, and opens it where there is a desktop',
    '(xdg-open, open, start). In open: {host}, {port} and {address} are those of its first local port.',
  ],
  options: [timeoutOption],
  examples: [['tunnel open wiki', 'with open: http://{address}/ in its tunnel']],
};

export const run: Run = async (context, args) => {
  const opening = await openTunnel(context, args);
  if ('code' in opening) return opening.code;
  const { name, url, opened } = opening;
  if (context.options.json) context.json({ name, url, opened });
  else context.out(url);
  return 0;
};

export interface Opening {
  readonly name: string;
  readonly url: string;
  /** False where there is no desktop, or none that can open anything. */
  readonly opened: boolean;
}

/** Brings it up first. The exit code where it did not come up: why was said. */
export async function openTunnel(context: Context, args: Args): Promise<Opening | { readonly code: number }> {
  const timeoutMs = args.durationMs('timeout', patienceMs);
  const config = await readyConfig(context);
  const { tunnel, template } = meant(args, config, context);
  const offer = createKeepOffer(context, config.resolved);
  const { typed } = offer;
  const asks = { context, args, selectors: [tunnel.name], config, typed, timeoutMs };
  const result = await broughtUp(asks);
  if (context.interactive) await offer.make(result.document);
  showFailures(context, result.failures, 1);
  if (result.failures.length > 0)
    return { code: worstExitCode(result.failures.map(({ error }) => error.code)) };
  const url = urlOf(tunnel, template, result);
  return { name: tunnel.name, url, opened: await open(context, url) };
}

async function broughtUp(asks: Omit<Bringing, 'interruption' | 'method'>): Promise<UpResult> {
  using interruption = asks.context.interruption();
  return await withSupervisor(supervisorOf(asks, interruption.signal), (client) =>
    bringUp(client, { ...asks, interruption, method: 'up', lines: false }),
  );
}

function meant(
  { words }: Args,
  { resolved, path }: ReadyConfig,
  { facts }: Context,
): { readonly tunnel: Tunnel; readonly template: string } {
  const names = matchSelectors(words, resolved.tunnels);
  const [tunnel, ...others] = resolved.tunnels.filter(({ name }) => names.includes(name));
  if (tunnel === undefined || others.length > 0)
    throw usage(`tunnel open takes one tunnel, and ${words.join()} is ${names.join(', ')}`, {
      command: 'open',
      on: { tunnel: names[0] ?? null },
    });
  if (tunnel.open !== null) return { tunnel, template: tunnel.open };
  throw usage(
    `${tunnel.name} has no open: in the file`,
    `write open: http://{address}/ under it, in ${shortPath(path, facts)}`,
  );
}

function urlOf(tunnel: Tunnel, template: string, { document }: UpResult): string {
  const ends = localEnds(
    tunnel,
    document.tunnels.find(({ name }) => name === tunnel.name),
  );
  return filled(template, ends?.[0]);
}

async function open(context: Context, url: string): Promise<boolean> {
  const opener = openerOf(context);
  if (opener === null) return false;
  try {
    const child = await startProgram([...opener, url], {
      env: context.facts.env,
      stdio: 'ignore',
      outlives: true,
    });
    child.unref();
    return true;
  } catch (thrown) {
    if (!(thrown instanceof NotStarted)) throw thrown;
    context.talk(`it is for you to open: ${opener[0]} was not started, ${thrown.message}`);
    return false;
  }
}

/** The program of the desktop that opens a URL; null where there is no desktop. */
function openerOf({ facts }: Context): readonly [string, ...string[]] | null {
  const { platform, env } = facts;
  if (platform === 'darwin') return ['/usr/bin/open'];
  // As `start` does, without a shell that would act on the & of a URL.
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler'];
  return (env['DISPLAY'] ?? '') !== '' || (env['WAYLAND_DISPLAY'] ?? '') !== '' ? ['xdg-open'] : null;
}
