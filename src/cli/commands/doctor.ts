// `tunnel doctor`: what of this machine would keep tunnels from coming up, each line ok or with what to do.
import { examine, type Check } from '../../client/doctor.ts';
import { worstExitCode } from '../../errors.ts';
import type { Paint } from '../../render/color.ts';
import { hintLines, hintText } from '../../render/error.ts';
import { renderTable, type Cell, type Row } from '../../render/table.ts';
import { noWords, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'doctor',
  words: '',
  takes: noWords,
  about: 'look at config, keys, agent, ports and supervisor; say what to do about each fault',
  more: [
    'Connects to nothing but the agent, the keychain and the supervisor of this machine; a port that nobody has',
    'bound is tried for a moment. Of a project file that is not allowed it runs, opens and tries nothing. The exit',
    'code is that of the gravest fault, 0 when there are only warnings. For one tunnel and its server: tunnel why',
    'NAME.',
  ],
  options: [],
  examples: [
    ['tunnel doctor', ''],
    ['tunnel doctor --json | jq \'.checks[] | select(.status != "ok")\'', 'for scripts'],
  ],
};

export const run: Run = async (context) => {
  const checks = await examine(context);
  const { config } = context.options;
  const failures = checks.flatMap(({ code }) => code ?? []);
  if (context.options.json) {
    const asJson = ({ name, status, detail, hint }: Check): unknown => ({
      name,
      status,
      detail,
      hint: hint === null ? null : hintText(hint, config),
    });
    context.json({ ok: failures.length === 0, checks: checks.map(asJson) });
  } else {
    const rows = checks.map((check) => rowOf(check, context.paint, config));
    const frame = { columns: context.columns, shorten: {}, leaveOut: [] };
    for (const line of renderTable(null, rows, context.paint, frame)) context.out(line);
  }
  return worstExitCode(failures);
};

function rowOf({ name, status, detail, hint }: Check, paint: Paint, config: string | undefined): Row {
  return {
    cells: [{ text: name, paint: paint.bold }, statusCell(status, paint), detail],
    notes: hintLines(hint, config).map((line) => ({ text: `${paint.cyan('hint:')} ${line}`, whole: true })),
  };
}

function statusCell(status: Check['status'], paint: Paint): Cell {
  switch (status) {
    case 'ok':
      return { text: 'ok', paint: paint.green };
    case 'warning':
      return { text: 'warning', paint: paint.yellow };
    case 'failed':
      return { text: 'FAILED', paint: paint.red };
  }
}
