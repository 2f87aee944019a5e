// Where the code of each command is: loaded only when it is run.
import type { Run } from './command.ts';

export const runs: Readonly<Record<string, () => Promise<Run>>> = {
  up: async () => (await import('./commands/up.ts')).up,
  down: async () => (await import('./commands/down.ts')).down,
  restart: async () => (await import('./commands/up.ts')).restart,
  status: async () => (await import('./commands/status.ts')).status,
  wait: async () => (await import('./commands/wait.ts')).wait,
  logs: async () => (await import('./commands/logs.ts')).logs,
  check: async () => (await import('./commands/check.ts')).check,
  show: async () => (await import('./commands/show.ts')).show,
  trust: async () => (await import('./commands/trust.ts')).trust,
  why: async () => (await import('./commands/why.ts')).why,
  secret: async () => (await import('./commands/secret.ts')).secret,
  hosts: async () => (await import('./commands/hosts.ts')).hosts,
  allow: async () => (await import('./commands/allow.ts')).allow,
  reload: async () => (await import('./commands/reload.ts')).reload,
  init: async () => (await import('./commands/init.ts')).init,
  schema: async () => (await import('./commands/schema.ts')).schema,
  demo: async () => (await import('./commands/demo.ts')).demo,
};
