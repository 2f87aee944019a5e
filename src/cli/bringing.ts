// Bringing tunnels up: what `up`, `restart` and `exec` ask of a supervisor, with the questions and the talk while they wait.
import type { Interruption, Context } from '../client/context.ts';
import type { StartOptions } from '../client/launch.ts';
import type { ReadyConfig } from '../client/ready-config.ts';
import { ask, locateTarget } from '../client/supervisor.ts';
import type { ControlClient } from '../control/client.ts';
import type { Lease, UpResult } from '../control/protocol.ts';
import { callerEnvironment } from '../model/environment.ts';
import type { Args } from './command.ts';
import { createConversation } from './conversation.ts';
import type { KeepOffer } from './keep-offer.ts';

export const patienceMs = 30_000;

export interface Bringing {
  readonly context: Context;
  readonly selectors: readonly string[];
  /** Where `--accept-new` and `--remap` stand. */
  readonly args: Pick<Args, 'flag'>;
  readonly method: 'up' | 'restart';
  readonly config: ReadyConfig;
  readonly interruption: Interruption;
  readonly typed: KeepOffer['typed'];
  readonly timeoutMs: number;
  /** For the time of this command. */
  readonly lease?: Lease;
  /** False: stdout is for something else than what comes up. Default true. */
  readonly lines?: boolean;
}

/** The supervisor that a config needs. Nobody waits for it any more once the signal is aborted. */
export function supervisorOf(
  { context, config }: Pick<Bringing, 'context' | 'config'>,
  signal?: AbortSignal,
): StartOptions {
  const { facts, program } = context;
  const { path, project } = config;
  return { config: path, project, facts, program, ...(signal === undefined ? {} : { signal }) };
}

/** Answers what the supervisor asks, and tells what is waited for. */
export async function bringUp(client: ControlClient, bringing: Bringing): Promise<UpResult> {
  const { context, selectors, args, method, config, interruption, timeoutMs, lease } = bringing;
  const params = {
    selectors,
    timeoutMs,
    interactive: context.interactive,
    acceptNew: args.flag('accept-new'),
    environment: callerEnvironment(context.facts.env),
    remap: args.flag('remap'),
    ...(lease === undefined ? {} : { lease }),
  };
  using conversation = createConversation({
    context,
    interruption,
    answer: async (question, value) => {
      await client.call('answer', { question, value: value?.reveal() ?? null });
    },
    typed: bringing.typed,
    ways: config.resolved.tunnels.flatMap(({ ways }) => ways),
    lines: bringing.lines ?? true,
    waiting: {
      timeoutMs,
      look: () => ask(locateTarget(context), 'status', { selectors }),
      isMeant: ({ name }) => selectors.length > 0 || method === 'restart' || startsByItself(config, name),
    },
  });
  const { progress } = conversation;
  const result = await client.call(method, params, { signal: interruption.signal, onProgress: progress });
  await conversation.settled();
  return result;
}

function startsByItself({ resolved }: ReadyConfig, name: string): boolean {
  return resolved.tunnels.some((tunnel) => tunnel.name === name && tunnel.autostart);
}
