# shellcheck shell=bash
# Hosts: their slots, which of them are gone, and on how many ranks a job can go on without those. launch/mpirun.sh
# sources it, and has the variables.
# shellcheck disable=SC2154,SC2034

# Sum and maximum of slots, and nodes, of lines "NAME SLOTS"; $1 slots where none are given.
sum_slots() {
  awk -v slots="$1" '
    { n = $2 == "" ? slots : $2; sum += n; if (n > most) most = n; nodes++ }
    END { print sum + 0, most + 0, nodes + 0 }'
}
# Host file → lines "NAME SLOTS"; slots=0, or what is no number, is an error with file and line.
read_hostfile() {
  awk -v file="$1" '
    { sub(/#.*/, "") }
    NF == 0 { next }
    {
      slots = ""
      for (field = 2; field <= NF; field++) if ($field ~ /^slots=/) slots = substr($field, 7)
      if ($0 ~ /slots=/ && slots !~ /^[1-9][0-9]*$/) {
        printf "mpirun.sh: %s:%d: slots must be a number from 1 on: %s\n", file, NR, $0 >"/dev/stderr"
        exit 2
      }
      print $1, slots
    }' "$1"
}

# The command of hadal among the words that are started, as others may stand before it: its program, then train or
# verify and what follows. Empty for another program.
hadal_command() {
  local words=("$program" "$@") index
  for ((index = 0; index + 1 < ${#words[@]}; index++)); do
    if [[ $(basename -- "${words[index]}") == hadal && ${words[index + 1]} =~ ^(train|verify)$ ]]; then
      hadal=("${words[@]:index}")
      return
    fi
  done
}
# The most ranks, $1 at most, on which the configuration can run: hadal knows. Of another program, all.
fitting() {
  [ ${#hadal[@]} -gt 0 ] || { echo "$1" && return; }
  local words=() index word
  for ((index = 2; index < ${#hadal[@]}; index++)); do
    word=${hadal[index]}
    case $word in
      --set=*) words+=("$word") ;;
      --set) words+=("$word" "${hadal[index + 1]-}"); index=$((index + 1)) ;;
      # Every other option of train and verify that takes a value says so with its next word.
      --resume | --steps | --limit) index=$((index + 1)) ;;
      -*) ;;
      *) words+=("$word") ;;
    esac
  done
  # Hosts with unequal slots are taken to have the most of them each: hadal looks at the true ones when it starts.
  "${hadal[0]}" plan "${words[@]}" --ranks "$1" --ranks-per-node "$most" --largest
}

# Whether mpirun starts its daemons by a remote shell: where a batch system does, hosts need not allow one.
uses_remote_shell() {
  local known
  case " ${mca[*]-} --mca plm ${OMPI_MCA_plm-} " in *" --mca plm rsh "* | *" --mca plm ^"*) return 0 ;; esac
  [ -z "${SLURM_JOB_ID-}" ] || return 1
  [ -n "${PBS_JOBID-}${LSB_JOBID-}" ] || return 0
  # These only where Open MPI was built with them.
  known=$(ompi_info --parsable 2>/dev/null | grep -E '^mca:plm:(tm|lsf):' || true)
  [ -z "$known" ]
}
# Whether a host can be started on, asked as mpirun will; this one need not be.
answers() {
  local self agent=${OMPI_MCA_plm_rsh_agent:-ssh} index
  self=$(hostname)
  case $1 in localhost | 127.0.0.1 | "$self" | "${self%%.*}") return 0 ;; esac
  for ((index = 0; index < ${#mca[@]}; index += 3)); do
    [ "${mca[index + 1]}" != plm_rsh_agent ] || agent=${mca[index + 2]}
  done
  # Of alternatives, as in "ssh : rsh", the first.
  read -ra agent <<<"${agent%% : *}"
  timeout -k 1 "$patience" "${agent[@]}" "$1" true </dev/null >/dev/null 2>&1
}

# Names of hosts, a line each, that do not answer; all are asked at once.
silent() {
  local names=() pids=() index name
  while read -r name _; do
    answers "$name" &
    names+=("$name") pids+=($!)
  done <<<"$all_lines"
  for index in "${!pids[@]}"; do wait "${pids[index]}" || echo "${names[index]}"; done
}

# Before another start: leaves out the hosts that do not answer, and takes those that do again. Fails, with words, where
# the configuration allows none of the numbers of ranks that are left.
regroup() {
  local lost least before=$ranks
  # In an allocation only the batch system knows which nodes are well.
  { [ ${#where[@]} -gt 0 ] && uses_remote_shell; } || return 0
  lost=$(silent)
  lines=$(awk -v lost="$lost" 'BEGIN { n = split(lost, l, "\n"); for (i = 1; i <= n; i++) gone[l[i]] = 1 }
    !($1 in gone)' <<<"$all_lines")
  lost=$(paste -sd, <<<"$lost" | sed 's/,/, /g')
  if [ -z "$lines" ]; then
    say "no host answers within $patience s ($lost): start the job again when they do," \
      "it goes on from its last checkpoint"
    return 1
  fi
  [ -z "$lost" ] || say "left out, as the remote shell gives no answer within $patience s: $lost"
  read -r slots most nodes <<<"$(sum_slots 1 <<<"$lines")"
  least=$((slots < all_ranks ? slots : all_ranks))
  ranks=$least
  if [ "$least" -lt "$all_ranks" ] && ! ranks=$(fitting "$least"); then
    say "the configuration allows no number of ranks up to the $least that are left (hadal's reason is above):" \
      "let it divide otherwise (parallel.data: auto, a smaller parallel.expert or parallel.pipeline)," \
      "or start the job again when $lost is back; it goes on from its last checkpoint"
    return 1
  fi
  where=(--host "$(tr ' ' : <<<"$lines" | paste -sd,)")
  [ "$ranks" -eq "$before" ] ||
    say "goes on with $ranks ranks instead of $before, on $(cut -d' ' -f1 <<<"$lines" | paste -sd,)"
  place
  compose
}

# mpirun ($1) waits for ever for the daemon of a node that has vanished after a rank has ended the job. Ranks of hadal end
# together: when there were some on this host, and are none any more, it has a moment left. Remote shells are children of
# mpirun as well, and may stay.
watch() {
  local seen=no left=30
  while [ $left -gt 0 ] && kill -0 "$1" 2>/dev/null; do
    if pgrep -P "$1" -x hadal >/dev/null; then
      seen=yes left=30
    elif [ $seen = yes ]; then
      left=$((left - 1))
    fi
    sleep 1
  done
  [ $left -gt 0 ] || { say "mpirun still waits for a node that has vanished: ended" && kill -KILL "$1" 2>/dev/null; }
}
