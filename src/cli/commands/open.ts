// `tunnel open NAME`: what its `open:` names, through the tunnel, in the program that the desktop has for it. The URL stands on stdout too.
import { withSupervisor } from '../../client/launch.ts';
import { localEnds } from '../../config/local-ends.ts';
import { readyConfig } from '../../client/ready-config.ts';
import type { Context } from '../../client/context.ts';
import { matchSelectors } from '../../config/selectors.ts';
import { shortPath } from '../../config/locate.ts';
import type { UpResult } from '../../control/protocol.ts';
import { worstExitCode } from '../../errors.ts';
import { NotStarted, startProgram } from '../../files/child.ts';
import { filled } from '../../model/tunnel-variables.ts';
import type { Tunnel } from '../../model/tunnel.ts';
import { bringUp, patienceMs, supervisorOf } from '../bringing.ts';
import { timeoutOption, usage, type CommandSpec, type Run } from '../command.ts';
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
  const timeoutMs = args.durationMs('timeout', patienceMs);
  const config = await readyConfig(context);
  const names = matchSelectors(args.words, config.resolved.tunnels);
  const [tunnel, ...others] = config.resolved.tunnels.filter(({ name }) => names.includes(name));
  if (tunnel === undefined || others.length > 0)
    throw usage(`tunnel open takes one tunnel, and ${args.words.join()} is ${names.join(', ')}`, {
      command: 'open',
      on: { tunnel: names[0] ?? null },
    });
  if (tunnel.open === null)
    throw usage(
      `${tunnel.name} says nothing to open`,
      `write open: http://{address}/ under it, in ${shortPath(config.path, context.facts)}`,
    );
  using interruption = context.interruption();
  const offer = createKeepOffer(context, config.resolved);
  const { typed } = offer;
  const asks = { context, args, selectors: [tunnel.name], config, interruption, typed, timeoutMs };
  const result = await withSupervisor(supervisorOf(asks), (client) =>
    bringUp(client, { ...asks, method: 'up', lines: false }),
  );
  if (context.interactive) await offer.make(result.document);
  showFailures(context, result.failures, 1);
  if (result.failures.length > 0) return worstExitCode(result.failures.map(({ error }) => error.code));
  return show(context, tunnel, urlOf(tunnel, tunnel.open, result));
};

function urlOf(tunnel: Tunnel, template: string, { document }: UpResult): string {
  const ends = localEnds(
    tunnel,
    document.tunnels.find(({ name }) => name === tunnel.name),
  );
  return filled(template, ends?.[0]);
}

async function show(context: Context, tunnel: Tunnel, url: string): Promise<number> {
  const opened = await open(context, url);
  if (context.options.json) context.json({ name: tunnel.name, url, opened });
  else context.out(url);
  return 0;
}

/** False where there is no desktop, or none that can open anything. */
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
