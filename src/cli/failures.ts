// Failures of several tunnels on stderr: each cause once, with its hint.
import type { ErrorReport } from '../errors.ts';
import { groupFailures, listNames } from '../render/error.ts';
import { count } from '../render/units.ts';
import type { Context } from '../client/context.ts';

/** `selected`: how many tunnels the command was about; a name is only said where it tells something. */
export function showFailures(
  context: Context,
  failures: readonly { readonly tunnel: string; readonly error: ErrorReport }[],
  selected: number,
): void {
  for (const { tunnels, error } of groupFailures(failures)) {
    const who =
      tunnels.length > 1
        ? `${count(tunnels.length, 'tunnel')} (${listNames(tunnels)}): `
        : selected > 1
          ? `${tunnels[0] ?? ''}: `
          : '';
    context.complain({ ...error, message: who + error.message });
  }
}
