#!/usr/bin/env bash
# Runs hadal, or another MPI program, on many ranks through Open MPI.
#   launch/mpirun.sh [OPTION …] train CONFIG.yaml [ARGUMENT …]
# The first word that is no option begins the arguments of the program. Options:
#   -n, --ranks N           ranks in all                              default: what hosts and slots allow
#   --ranks-per-node N      of these on each node                     default: slots, else one a NUMA domain
#   --hosts A[:SLOTS],…     the nodes                                 default: this machine, or Slurm's allocation
#   --hostfile FILE         the nodes, a line each: NAME [slots=N]
#   --bind auto|none        auto gives each rank cores of its own     default: auto
#   --oversubscribe         more ranks than cores are meant
#   --network NAMES|CIDRS   the only networks to use: ib0, or 10.1.0.0/16
#   --mca NAME VALUE        a parameter of Open MPI; may be repeated, comes after those set here
#   --env NAME              a variable for every rank; may be repeated (HADAL_* always go along)
#   --program FILE          instead of hadal
#   --allow-run-as-root     for containers without another user (or OMPI_ALLOW_RUN_AS_ROOT=1 and …_CONFIRM=1)
#   --max-restarts K        start a job that failed again, K times at most: hadal goes on from its last good checkpoint,
#                           without hosts that no longer answer (asked by the remote shell; not where Slurm, PBS or LSF
#                           starts ranks), on as many ranks as the configuration then allows.
#                           Not after code 2 (wrong options or configuration) or a signal   default: 0
#   --answer-within S       seconds that a host's remote shell has to answer before such a start   default: 10
#   --dry-run               print the command, run nothing
# A first SIGINT, SIGTERM, SIGHUP or SIGUSR1 to this script reaches every rank as SIGUSR1: hadal saves a checkpoint and
# ends. A second SIGINT or SIGTERM ends the job at once. The exit code is the job's; 2 is for wrong options.
set -euo pipefail
export LC_ALL=C

fail() {
  printf 'mpirun.sh: %s\n' "$@" >&2
  exit 2
}
say() { echo "mpirun.sh: $*" >&2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=hosts.sh
source "$here/hosts.sh"

ranks='' per_node='' hosts='' hostfile='' bind=auto oversubscribe=no network='' program='' as_root=no dry_run=no
restarts=0 patience=''
mca=() names=()

# $3, the value of option $1, when the option has one after it; $2 words are left.
value() {
  [ "$2" -ge 2 ] || fail "$1 needs a value (see the head of launch/mpirun.sh)"
  echo "$3"
}
# The same for a count.
count() {
  value "$1" "$2" "$3" >/dev/null
  [[ $3 =~ ^[1-9][0-9]{0,6}$ ]] || fail "$1 must be a number from 1 on, not '$3'"
  echo "$3"
}
while [ $# -gt 0 ]; do
  case $1 in
    -n | --ranks) ranks=$(count "$1" $# "${2:-}"); shift ;;
    --ranks-per-node) per_node=$(count "$1" $# "${2:-}"); shift ;;
    --hosts) hosts=$(value "$1" $# "${2:-}"); shift ;;
    --hostfile) hostfile=$(value "$1" $# "${2:-}"); shift ;;
    --bind) bind=$(value "$1" $# "${2:-}"); shift ;;
    --oversubscribe) oversubscribe=yes ;;
    --network) network=$(value "$1" $# "${2:-}"); shift ;;
    --mca)
      [ $# -ge 3 ] || fail "--mca needs a name and a value"
      mca+=(--mca "$2" "$3"); shift 2
      ;;
    --env) name=$(value "$1" $# "${2:-}"); names+=("$name"); shift ;;
    --program) program=$(value "$1" $# "${2:-}"); shift ;;
    --max-restarts) restarts=$(count "$1" $# "${2:-}"); shift ;;
    --answer-within) patience=$(count "$1" $# "${2:-}"); shift ;;
    --allow-run-as-root) as_root=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    --)
      shift
      break
      ;;
    -*) fail "there is no option $1; arguments of the program that begin with - come after -- (see --help)" ;;
    *) break ;;
  esac
  shift
done

# --- What runs -------------------------------------------------------------------------------------------------------

if [ -z "$program" ]; then
  [ $# -gt 0 ] || fail "what is to run? For instance: launch/mpirun.sh -n 2 train configs/quickstart.yaml"
  # In a package the program lies beside this script's directory, in a checkout where the build puts it.
  for program in "$here/../bin/hadal" "$here/../.build/release/hadal" ''; do [ ! -x "$program" ] || break; done
  [ -n "$program" ] || fail "there is no release build: swift build -c release --product hadal" \
    "(or name a program with --program)"
  program=$(realpath "$program")
elif [[ $program == */* ]]; then
  { [ -f "$program" ] && [ -x "$program" ]; } || fail "--program $program is no program that can be run here"
  program=$(realpath "$program")
else
  command -v "$program" >/dev/null || fail "--program $program is not on PATH"
fi
command -v mpirun >/dev/null ||
  fail "there is no mpirun on PATH: apt-get install openmpi-bin, or load your cluster's module of Open MPI"
version=$(mpirun --version 2>&1 | head -n 1)
[[ $version == *"Open MPI"* ]] || fail "mpirun is not Open MPI's, but says '$version'; hadal is linked with Open MPI"
if [ "$(id -u)" -eq 0 ] && [ $as_root = no ] && [ $dry_run = no ] &&
  [ "${OMPI_ALLOW_RUN_AS_ROOT:-}${OMPI_ALLOW_RUN_AS_ROOT_CONFIRM:-}" != 11 ]; then
  fail "this is root, whose mistakes reach every file: use another user, or in a container --allow-run-as-root"
fi

[ "$restarts" -gt 0 ] || [ -z "$patience" ] ||
  fail "--answer-within is for hosts before another start: give --max-restarts as well, or leave it out"
patience=${patience:-10}
if [ "$restarts" -gt 0 ] && [[ " $* " =~ \ --resume[\ =]never\  ]]; then
  fail "--max-restarts starts from the last checkpoint, and --resume never from none: leave one of them out"
fi

# --- Where: nodes, and ranks on each ---------------------------------------------------------------------------------

# Cores and NUMA domains with cores that this process may use; all nodes are taken to be like this one.
shape() {
  local allowed
  allowed=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
  lscpu -p=CPU,CORE,SOCKET,NODE | awk -F, -v allowed="$allowed" '
    BEGIN {
      parts = split(allowed, ranges, ",")
      for (p = 1; p <= parts; p++) {
        ends = split(ranges[p], limits, "-")
        for (cpu = limits[1]; cpu <= limits[ends]; cpu++) may[cpu] = 1
      }
    }
    /^[0-9]/ && ($1 in may) {
      if (!(($3 "," $2) in core)) { core[$3 "," $2] = 1; cores++ }
      if (!($4 in domain)) { domain[$4] = 1; domains++ }
    }
    END { print cores + 0, domains + 0 }'
}
# HADAL_NODE_SHAPE="CORES DOMAINS": when nodes differ from the machine that the job is started on.
read -r cores domains <<<"${HADAL_NODE_SHAPE:-$(shape)}"
[[ "$cores $domains" =~ ^[1-9][0-9]*\ [1-9][0-9]*$ ]] ||
  fail "a node's shape must be two numbers, cores and NUMA domains, not '$cores $domains' (HADAL_NODE_SHAPE)"

where=() lines=$(hostname)
[ -z "$hosts" ] || [ -z "$hostfile" ] || fail "--hosts and --hostfile both say where: give one"
if [ -n "$hostfile" ]; then
  { [ -f "$hostfile" ] && [ -r "$hostfile" ]; } || fail "cannot read the host file $hostfile"
  lines=$(read_hostfile "$hostfile") || exit 2
  [ -n "$lines" ] || fail "the host file $hostfile names no node"
elif [ -n "$hosts" ]; then
  [[ ,$hosts, =~ ^(,[A-Za-z0-9._-]+(:[1-9][0-9]*)?)+,$ ]] ||
    fail "--hosts must be NAME or NAME:SLOTS (from 1 on), separated by commas, not '$hosts'"
  lines=$(tr ',:' '\n ' <<<"$hosts")
fi
if [ -z "$hosts$hostfile" ] && [ -n "${SLURM_JOB_NUM_NODES:-}" ]; then
  # Inside an allocation mpirun asks Slurm for names; only numbers are needed here.
  nodes=$SLURM_JOB_NUM_NODES
  ranks=${ranks:-${SLURM_NTASKS:-$((nodes * domains))}}
  most=${per_node:-$(((ranks + nodes - 1) / nodes))}
  slots=$((nodes * most))
else
  read -r _ _ nodes <<<"$(sum_slots 1 <<<"$lines")"
  default=${per_node:-$domains}
  # Ranks that are asked for without saying where go to all nodes alike.
  [ -z "$ranks" ] || [ -n "$per_node" ] || default=$(((ranks + nodes - 1) / nodes))
  [ -z "$per_node" ] || lines=$(awk '{ print $1 }' <<<"$lines")
  lines=$(awk -v slots="$default" '{ print $1, ($2 == "" ? slots : $2) }' <<<"$lines")
  read -r slots most nodes <<<"$(sum_slots 1 <<<"$lines")"
  ranks=${ranks:-$slots}
  where=(--host "$(tr ' ' : <<<"$lines" | paste -sd,)")
fi
[ "$ranks" -le "$slots" ] ||
  fail "$ranks ranks do not fit: $nodes node(s) have $slots slot(s) in all; raise slots or --ranks-per-node"

# --- Cores: worker threads follow the cores that a rank is bound to, so that binding is all that is needed -----------

arguments=("$@") placement=() threads=()
place() {
  local share
  threads=()
  case $bind in
    auto)
      share=$((cores / most))
      if [ "$most" -eq "$domains" ]; then
        placement=(--map-by ppr:1:numa --bind-to numa)
        say "$ranks rank(s) on $nodes node(s), each bound to one NUMA domain of $((cores / domains)) core(s)"
      elif [ "$share" -ge 1 ]; then
        # Consecutive cores: a rank stays within a domain wherever the numbers allow it.
        placement=(--map-by "slot:PE=$share" --bind-to core)
        say "$ranks rank(s) on $nodes node(s), $most on a node with $domains NUMA domain(s):" \
          "each bound to $share core(s)"
        [ $((cores / domains % share)) -eq 0 ] || [ $((share % (cores / domains))) -eq 0 ] ||
          say "some ranks reach over the border of a NUMA domain: $domains ranks a node, or a multiple, do not"
        [ $((share * most)) -eq "$cores" ] || say "$((cores - share * most)) of $cores cores stay idle"
      elif [ $oversubscribe = yes ]; then
        placement=(--map-by slot --bind-to core:overload-allowed)
        say "$ranks rank(s) on $nodes node(s), $most on a node with $cores core(s): ranks SHARE cores, one core a rank"
      else
        fail "$most ranks on a node that has $cores core(s) would share cores: fewer ranks, or --oversubscribe"
      fi
      ;;
    none)
      placement=(--map-by slot --bind-to none)
      say "$ranks rank(s) on $nodes node(s), not bound by Open MPI"
      # Unbound, every rank would start a worker for each core of the node.
      if [ "$most" -gt 1 ] && [[ $(basename "$program") == hadal && ${arguments[0]-} =~ ^(train|verify)$ ]] &&
        [[ " ${arguments[*]-} " != *training.threads=* ]]; then
        threads=(--set "training.threads=$((cores / most > 1 ? cores / most : 1))")
        say "${threads[1]}, as ranks are not bound"
      fi
      ;;
    *) fail "--bind must be auto or none, not '$bind'" ;;
  esac
}
place

# --- Parameters of Open MPI ------------------------------------------------------------------------------------------

# A bridge of containers or virtual machines has the same address on every node: over it, ranks would find themselves
# instead of their peers, and wait. Of the defaults, the loopback stays left out.
bridges=lo,docker0,virbr0
parameters=(--mca oob_tcp_if_exclude "$bridges" --mca btl_tcp_if_exclude "$bridges")
[ -z "$network" ] || parameters=(--mca oob_tcp_if_include "$network" --mca btl_tcp_if_include "$network")
# Ranks of another program that share cores; hadal's sleep by themselves, whatever it is told to do.
[ $oversubscribe = no ] || [[ " $program $* " =~ [/\ ]hadal\  ]] || parameters+=(--mca mpi_yield_when_idle 1)
# A node that vanishes closes no connection, and mpirun would wait for it for minutes or for ever: after 20 s of silence
# it asks four times, 5 s apart, and ends the job.
for setting in time:20 intvl:5 probes:4; do
  name=oob_tcp_keepalive_${setting%:*}
  [[ " ${mca[*]-} " == *" $name "* ]] || parameters+=(--mca "$name" "${setting#*:}")
done

# Open MPI takes only its own variables to other nodes.
for name in $(compgen -e | grep '^HADAL_' || true) ${names[0]+"${names[@]}"}; do
  [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || fail "--env wants the name of a variable, not '$name'"
  [ -n "${!name+set}" ] || fail "--env $name: there is no such variable here"
  parameters+=(-x "$name")
done

command=()
compose() {
  command=(mpirun -n "$ranks" ${where[0]+"${where[@]}"} "${placement[@]}" "${parameters[@]}" ${mca[0]+"${mca[@]}"})
  [ $as_root = no ] || command+=(--allow-run-as-root)
  # Said outright, a directory that a node does not have is an error; otherwise ranks there start in another one.
  command+=(--wdir "$PWD" "$program" ${arguments[0]+"${arguments[@]}"} ${threads[0]+"${threads[@]}"})
}
compose
if [ $dry_run = yes ]; then
  printf '%q ' "${command[@]}" | sed 's/ $//'
  echo
  exit 0
fi

# For starts without hosts that are gone.
all_lines=$lines all_ranks=$ranks hadal=()
hadal_command "$@"

# --- Run -------------------------------------------------------------------------------------------------------------

# mpirun answers SIGINT and SIGTERM by killing all ranks a second later, too soon for a checkpoint, and passes SIGUSR1
# on. So that Ctrl-C does not reach it as well, it gets a session of its own; the input of a terminal is not for it.
signals=0 job=''
# shellcheck disable=SC2317  # called by the traps
stop() {
  signals=$((signals + 1))
  [ -n "$job" ] || return 0
  if [ "$signals" -gt 1 ] && [ "$1" != USR1 ]; then
    kill -TERM "$job" 2>/dev/null || true
    return 0
  fi
  [ "$signals" -gt 1 ] || say "SIG$1: every rank is told to save and stop (again: ends the job at once)"
  kill -USR1 "$job" 2>/dev/null || true
}
if [ -t 0 ]; then exec </dev/null; fi
for signal in INT TERM HUP USR1; do
  # shellcheck disable=SC2064  # the name of now
  trap "stop $signal" "$signal"
done
for ((attempt = 0; ; attempt++)); do
  # The shell gives background jobs an empty input; "<&0" keeps the one that there is.
  setsid "${command[@]}" <&0 &
  job=$!
  # One that came before there was a job.
  [ "$signals" -eq 0 ] || kill -TERM "$job" 2>/dev/null || true
  watcher=''
  if [ ${#hadal[@]} -gt 0 ] && [ "$nodes" -gt 1 ] && command -v pgrep >/dev/null; then
    watch "$job" &
    watcher=$!
  fi
  while :; do
    code=0
    # Bash would tell of one that was killed.
    wait "$job" 2>/dev/null || code=$?
    # A wait that a signal has ended is over before the job is.
    kill -0 "$job" 2>/dev/null || break
  done
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
  [ "$code" -eq 0 ] || say "the job ended with code $code"
  # What was told to stop stops; what cannot be right is not tried again.
  if [ "$code" -eq 0 ] || [ "$code" -eq 2 ] || [ "$signals" -gt 0 ] || [ "$attempt" -ge "$restarts" ]; then
    exit "$code"
  fi
  regroup || exit "$code"
  # One that came while hosts were asked.
  [ "$signals" -eq 0 ] || exit "$code"
  say "started again, $((attempt + 1)) of at most $restarts times"
done
