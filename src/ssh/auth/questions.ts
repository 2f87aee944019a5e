// Questions of a dial, seen from its clock: while a person is at one, no deadline runs (SPEC 3).
import type { DialContext } from '../../model/session.ts';

export interface WatchedQuestions {
  /** The same context, whose questions are seen. */
  readonly context: DialContext;
  /** Tells of every question from now on, and of one that is open. */
  watch(watcher: { begin(): void; end(): void }): void;
}

export function watchQuestions(context: DialContext): WatchedQuestions {
  let watcher: { begin(): void; end(): void } | null = null;
  let open = 0;
  return {
    context: {
      ...context,
      ask: async (question) => {
        open += 1;
        watcher?.begin();
        try {
          return await context.ask(question);
        } finally {
          open -= 1;
          watcher?.end();
        }
      },
    },
    watch(next) {
      watcher = next;
      for (let left = open; left > 0; left -= 1) next.begin();
    },
  };
}
