// `tunnel why`: each layer of the way to a tunnel's target with its time, the first that fails, and what to do about it.
import { matchSelectors } from '../../config/selectors.ts';
import { askSupervisor, connectSupervisor } from '../../control/reach.ts';
import { openSshHere } from '../../client/ssh-here.ts';
import { configFailure, explain } from '../../client/why.ts';
import { TunnelError, asTunnelError, exitCodeOf, reportError, type ErrorReport } from '../../errors.ts';
import type { WhyResult } from '../../control/protocol.ts';
import { systemClock } from '../../model/clock.ts';
import type { Tunnel } from '../../model/tunnel.ts';
import type { WhyDocument } from '../../model/why.ts';
import { renderWhy } from '../../render/why.ts';
import type { CommandSpec, Run } from '../command.ts';
import { complainOf } from '../context.ts';
import { type Context, type Interruption } from '../../client/context.ts';
import { readyConfig, type ReadyConfig } from '../../client/ready-config.ts';
import { locateTarget, type Target } from '../../client/supervisor.ts';
import { loginContext } from '../trust-questions.ts';
import { callerEnvironment } from '../../model/environment.ts';
import type { ControlClient } from '../../control/client.ts';
import type { StatusDocument } from '../../model/status.ts';
import { createConversation } from '../conversation.ts';

export const spec: CommandSpec = {
  name: 'why',
  words: 'NAME',
  takes: { least: 1, most: 1 },
  about: 'why a tunnel does not work: every layer of the way, and what to do',
  more: [
    'Tells DNS, TCP, key exchange, host key, each credential offered and the answer to it, of every hop; then the',
    'port here and the target. With a live link only DNS, TCP and the target are tried anew; else it logs in once.',
    'Exit code of the first layer that fails. Never shows a secret.',
  ],
  options: [],
  examples: [
    ['tunnel why db', ''],
    ["tunnel why db --json | jq -r '.error.code'", 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const [word = ''] = args.words;
  const started = performance.now();
  let config: ReadyConfig;
  try {
    config = await readyConfig(context);
  } catch (thrown) {
    return configFailed(context, word, asTunnelError(thrown), performance.now() - started);
  }
  const configMs = performance.now() - started;
  const tunnel = tunnelOf(word, config.resolved.tunnels);
  using interruption = context.interruption();
  const document = await explainHere(context, config, { tunnel, configMs, interruption });
  show(context, document);
  if (document.error === null) return 0;
  context.complain(document.error);
  return exitCodeOf(document.error.code);
};

/** A tunnel's name, or a host's: errors of a login know only the host. Throws NO_SUCH_TUNNEL. */
function tunnelOf(word: string, tunnels: readonly Tunnel[]): Tunnel {
  const named = tunnels.find(({ name }) => name === word);
  const hosted = tunnels.find(({ ways }) => ways.some((way) => way.some(({ name }) => name === word)));
  const found = named ?? hosted;
  if (found !== undefined) return found;
  const [only, ...others] = matchSelectors([word], tunnels);
  const selected = others.length === 0 ? tunnels.find(({ name }) => name === only) : undefined;
  if (selected !== undefined) return selected;
  throw new TunnelError('USAGE', `why is about one tunnel, and ${word} stands for several`, {
    hint: { command: 'why', on: { tunnel: only ?? 'NAME' } },
  });
}

interface Scene {
  readonly tunnel: Tunnel;
  readonly configMs: number;
  readonly interruption: Interruption;
}

function explainHere(context: Context, config: ReadyConfig, scene: Scene): Promise<WhyDocument> {
  const { tunnel, interruption } = scene;
  const { signal } = interruption;
  const target = locateTarget(context);
  return explain({
    ...scene,
    store: context.places.knownHosts,
    clock: systemClock,
    signal,
    ask: () => recorded(context, target, tunnel.name, signal),
    attempt: () => attemptNow(context, target, tunnel, interruption),
    openSsh: () =>
      openSshHere(context, config, (message) => {
        if (context.options.verbose) context.talk(message);
      }),
    context: loginContext(context, interruption, tunnel.ways),
  });
}

/** Null: no supervisor runs, or it has not heard of the tunnel yet. */
async function recorded(
  { facts }: Context,
  { supervisor }: Target,
  name: string,
  signal: AbortSignal,
): Promise<WhyResult | null> {
  try {
    return (
      (await askSupervisor(supervisor, facts, { method: 'why', params: { name }, signal }))?.result ?? null
    );
  } catch (thrown) {
    if (thrown instanceof TunnelError && thrown.code === 'NO_SUCH_TUNNEL') return null;
    throw thrown;
  }
}

function show(context: Context, document: WhyDocument): void {
  if (context.options.json) context.json(document);
  else for (const line of renderWhy(document, context.paint, context.columns)) context.out(line);
}

/** The first layer fails: the file's own problems are said as `check` says them. */
function configFailed(context: Context, word: string, error: TunnelError, ms: number): number {
  if (error.code !== 'CONFIG_INVALID' && error.code !== 'CONFIG_NOT_ALLOWED') throw error;
  show(context, configFailure(word, error, ms));
  return exitCodeOf(complainOf(context, error).code);
}

/** Longer than any attempt takes that nobody is asked in; questions stop the clock. */
const patienceMs = 60_000;

/**
 * The tunnel is wanted already, so `up` changes nothing but the time of the next try, and never offers a refused
 * credential again unless a person is here. Answers why the tunnel does not serve; null when it does.
 */
export async function attemptNow(
  context: Context,
  { supervisor }: Target,
  tunnel: Tunnel,
  interruption: Interruption,
): Promise<ErrorReport | null> {
  const client = await connectSupervisor(supervisor, context.facts, interruption.signal);
  if (client === null) return null;
  const failed = new AbortController();
  try {
    watchFailure(client, tunnel.name, failed);
    return await bringUp(context, client, tunnel, { interruption, failed: failed.signal });
  } catch (thrown) {
    interruption.signal.throwIfAborted();
    if (failed.signal.aborted) return failed.signal.reason as ErrorReport;
    return reportError(asTunnelError(thrown));
  } finally {
    client.close();
  }
}

async function bringUp(
  context: Context,
  client: ControlClient,
  { name, ways }: Tunnel,
  { interruption, failed }: { readonly interruption: Interruption; readonly failed: AbortSignal },
): Promise<ErrorReport | null> {
  const conversation = createConversation({
    context,
    interruption,
    answer: async (question, value) => {
      await client.call('answer', { question, value: value?.reveal() ?? null });
    },
    ways,
  });
  const params = {
    selectors: [name],
    timeoutMs: patienceMs,
    interactive: context.interactive,
    acceptNew: false,
    environment: callerEnvironment(context.facts.env),
    remap: false,
  };
  const result = await client.call('up', params, {
    signal: AbortSignal.any([interruption.signal, failed]),
    onProgress: (progress) => {
      if (progress.kind !== 'settled') conversation.progress(progress);
    },
  });
  await conversation.settled();
  return result.failures[0]?.error ?? null;
}

/** `up` goes on trying: the first failure from now on is what `why` is after. On the same connection, so none is missed. */
function watchFailure(client: ControlClient, name: string, failed: AbortController): void {
  let before: string | null | undefined; // the time of the failure there was; clocks may be set meanwhile
  const look = ({ tunnels }: StatusDocument): void => {
    const watched = tunnels.find((tunnel) => tunnel.name === name);
    if (before === undefined) before = watched?.lastError?.at ?? null;
    const error = watched?.state === 'retrying' ? watched.error : null;
    if (error == null || error.at === before) return;
    failed.abort({ code: error.code, message: error.message, hint: error.hint } satisfies ErrorReport);
  };
  client.call('watch', { selectors: [name] }, { onProgress: look }).catch(() => undefined); // ends with the connection
}
