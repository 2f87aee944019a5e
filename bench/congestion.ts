// A run with another congestion control than the machine's: in a network of its own, so that nothing else is touched.
// It decides the figures of loopback, too: bbr paces there with a timer for every packet, which costs both ends twice the work of cubic.
import { spawnSync } from 'node:child_process';

const insideOf = 'TUNNEL_BENCH_CONGESTION';
const [noLoopback, notLoaded] = [124, 125];
const settle = `
ip link set lo up || exit ${noLoopback}
{ echo "$0" > /proc/sys/net/ipv4/tcp_congestion_control; } 2> /dev/null || exit ${notLoaded}
exec "$@"`;

/** Makes this run once more, in such a network; returns its exit code. Null: this is that run. Needs root, `unshare` and `ip`. */
export function runWithCongestion(name: string): number | null {
  if (process.env[insideOf] === name) return null;
  if (process.getuid?.() !== 0) return failed('it makes a network of its own, which only root may');
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status, error } = spawnSync('unshare', ['--net', 'sh', '-c', settle, name, ...again], {
    stdio: 'inherit',
    env: { ...process.env, [insideOf]: name },
  });
  if (error !== undefined) return failed(`unshare cannot be run: ${error.message}`);
  if (status === noLoopback) return failed('ip, of iproute2, could not bring up loopback there');
  if (status === notLoaded)
    return failed(
      `there is no ${name} here; sysctl net.ipv4.tcp_available_congestion_control tells what there is`,
    );
  return status ?? 1;
}

function failed(why: string): number {
  console.error(`--congestion: ${why}`);
  return 2;
}
