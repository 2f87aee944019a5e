// `tunnel wait`: until the tunnels serve, asking for nothing. Exit 9 when the time runs out, with a supervisor or without.
import { setTimeout as pause } from 'node:timers/promises';
import { TunnelError, worstExitCode } from '../../errors.ts';
import type { UpResult } from '../../control/protocol.ts';
import type { Run } from '../command.ts';
import { Interrupted, type Context } from '../context.ts';
import { createConversation } from '../conversation.ts';
import { showFailures } from '../failures.ts';
import { statusWithout } from '../no-supervisor.ts';
import { ask, locateTarget, type Target } from '../supervisor.ts';

/** How soon a supervisor that is not there yet is looked for again. */
const lookAgainMs = 100;

export const wait: Run = async (context, args) => {
  const deadline = context.now() + args.durationMs('timeout', 30_000);
  const target = locateTarget(context);
  using interruption = context.interruption();
  try {
    for (;;) {
      const leftMs = Math.max(0, deadline - context.now());
      const conversation = createConversation({ context, interruption, answer: () => Promise.resolve() });
      const params = { selectors: args.words, timeoutMs: leftMs };
      const options = { signal: interruption.signal, onProgress: conversation.progress };
      const result = await ask(context, target, 'wait', params, options);
      if (result !== null) return conclude(context, result);
      if (leftMs === 0) return await nobody(context, target, args.words);
      await pause(Math.min(lookAgainMs, leftMs), undefined, { signal: interruption.signal });
    }
  } catch (thrown) {
    const reason: unknown = interruption.signal.reason;
    if (reason instanceof Interrupted) return reason.exitCode;
    throw thrown;
  }
};

function conclude(context: Context, { document, failures }: UpResult): number {
  if (context.options.json) context.out(JSON.stringify(document, null, 2));
  showFailures(context, failures, document.tunnels.length);
  return worstExitCode(failures.map(({ error }) => error.code));
}

async function nobody(context: Context, target: Target, selectors: readonly string[]): Promise<number> {
  const document = await statusWithout(context, target, selectors); // a name that is nobody's is exit 2 here too
  if (context.options.json) context.out(JSON.stringify(document, null, 2));
  throw new TunnelError('NOT_UP', 'wait failed, on the supervisor: none is running', { hint: 'tunnel up' });
}
