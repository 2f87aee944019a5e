// `tunnel wait`: until the tunnels serve, asking for nothing. Exit 9 when the time runs out, with a supervisor or without.
import { setTimeout as pause } from 'node:timers/promises';
import { TunnelError, worstExitCode } from '../../errors.ts';
import type { UpResult } from '../../control/protocol.ts';
import type { StatusDocument } from '../../model/status.ts';
import { anyWords, selectorWords, timeoutOption, type CommandSpec, type Run } from '../command.ts';
import { Interrupted, type Context } from '../../client/context.ts';
import { createConversation, showFailures } from '../conversation.ts';
import { statusWithout } from '../../client/no-supervisor.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';

/** How soon a supervisor that is not there yet is looked for again. */
const lookAgainMs = 100;

export const spec: CommandSpec = {
  name: 'wait',
  words: selectorWords,
  takes: anyWords,
  about: 'wait until tunnels are up, asking for nothing; exit 9 when the time runs out',
  without: 'what is wanted, else what has autostart',
  more: ['A tunnel with a probe is waited for until the target behind it answers.'],
  options: [timeoutOption],
  examples: [['tunnel wait db --timeout 1m', 'before a migration']],
};

export const run: Run = async (context, args) => {
  const deadline = performance.now() + args.durationMs('timeout', 30_000);
  const target = locateTarget(context);
  using interruption = context.interruption();
  let away: StatusDocument | null = null;
  try {
    for (;;) {
      const leftMs = Math.max(0, deadline - performance.now());
      const params = { selectors: args.words, timeoutMs: leftMs };
      using conversation = createConversation({
        context,
        interruption,
        answer: () => Promise.resolve(),
        waiting: {
          timeoutMs: leftMs,
          look: () => ask(target, 'status', { selectors: args.words }),
          isMeant: () => true,
        },
      });
      const options = { signal: interruption.signal, onProgress: conversation.progress };
      const result = await ask(target, 'wait', params, options);
      conversation.waitsNoMore();
      if (result !== null) return conclude(context, result);
      // A name that is nobody's, or a broken file, is told at once: that is not a thing of time.
      away ??= await statusWithout(context, target, args.words);
      if (leftMs === 0) return nobody(context, away, args.words);
      await pause(Math.min(lookAgainMs, leftMs), undefined, { signal: interruption.signal });
    }
  } catch (thrown) {
    const reason: unknown = interruption.signal.reason;
    if (reason instanceof Interrupted) return reason.exitCode;
    throw thrown;
  }
};

function conclude(context: Context, { document, failures }: UpResult): number {
  if (context.options.json) context.json(document);
  showFailures(context, failures, document.tunnels.length);
  return worstExitCode(failures.map(({ error }) => error.code));
}

function nobody(context: Context, document: StatusDocument, words: readonly string[]): never {
  if (context.options.json) context.json(document);
  throw new TunnelError('NOT_UP', 'no supervisor is running, so nothing comes up by waiting', {
    hint: { command: 'up', on: { words } },
  });
}
