# Operations of git: each prints its status and, where something may have changed, what the repository is after it.
export GIT_AUTHOR_DATE=2020-01-02T00:00:00Z GIT_COMMITTER_DATE=2020-01-02T00:00:00Z GIT_EDITOR=true
unset GIT_CONFIG_COUNT
N=0
state() { git -C "$PWD" for-each-ref --format='%(refname) %(objecttype) %(tree)' ; git status --porcelain=v1 -b ; git ls-files -s ; }
op() {
    N=$((N + 1))
    "$@" >/dev/null 2>&1
    echo "$N $? $(state 2>&1 | cksum) $*"
}
w() { mkdir -p "$(dirname "$1")"; echo "$2" >"$1"; }
op git status
op git log --oneline
op git diff --stat
op git branch
op git remote -v
op git config --list --local
op w src/b.txt 1
op git add src/b.txt
op git commit -q -m b
op git switch -q -c feature
op w src/a.txt 2
op git commit -q -am feature
op git switch -q main
op w src/c.txt 3
op git add -A
op git commit -q -m c
op git merge -q --no-edit feature
op git tag v1
op git tag -a v2 -m two
op git branch topic v1
op git checkout -q topic
op w src/d.txt d
op git add src
op git commit -q -m d
op git rebase -q main
op git checkout -q main
op git merge -q --ff-only topic
op git branch -d topic
op git branch -D feature
op w src/a.txt dirty
op git stash
op git stash list
op git stash pop
op git checkout -- src/a.txt
op git restore --source=v1 src/a.txt
op git restore src/a.txt
op w new.txt untracked
op git stash -u
op git stash apply
op git stash drop
op git clean -nd
op git clean -fdq
op git rm -q src/d.txt
op git commit -q -m rm
op git revert --no-edit HEAD
op git reset -q --soft HEAD~1
op git reset -q --mixed
op git reset -q --hard
op git cherry-pick v1
op git cherry-pick --abort
op git mv src/b.txt src/e.txt
op git commit -q -m mv
op git mv src lib
op git commit -q -m mvdir
op git mv lib src
op git commit -q -m back
op git commit -q --amend -m amended
op git commit -q --allow-empty -m empty
op git rebase -q -f HEAD~2
op git rebase -q --onto v1 HEAD~1
op git checkout -q main
op git reflog
op git fsck
op git gc -q
op git repack -adq
op git prune
op git pack-refs --all
op git maintenance run
op git count-objects
op git worktree add -q wt1 -b wtb
op git -C wt1 commit -q --allow-empty -m inwt
op git worktree list --porcelain
op git worktree move wt1 wt2
op git worktree remove --force wt2
op git worktree prune
op git merge -q --no-edit wtb
op git submodule status
op git submodule update -q --init
op git submodule foreach -q git status
op git -C sub checkout -q -b inner
op w sub/lib.txt changed
op git -C sub commit -q -am inner
op git add sub
op git commit -q -m submodule
op git submodule sync -q
op git submodule deinit -q -f sub
op git submodule update -q --init
op git init -q --bare bare.git
op git remote add origin ./bare.git
op git push -q -u origin main
op git fetch -q
op git pull -q
op git push -q --tags
op git branch -u origin/main
op git remote rename origin up
op git remote remove up
op git clone -q bare.git clone
op git -C clone commit -q --allow-empty -m clone
op git -C clone push -q
op git config user.signingkey none
op git config --unset user.signingkey
op git -C nested commit -q --allow-empty -m nested
op git -C nested gc -q
op git archive -o /dev/null HEAD
op git bundle create .git/x.bundle main
op git notes add -m note
op git blame src/a.txt
op git grep -q 2
op git bisect start HEAD v1
op git bisect reset
op git sparse-checkout set src
op git sparse-checkout disable
op git update-index --refresh
op git apply --check /dev/null
op git replace --list
op git check-ignore .mcp.json
op git ls-files --others --ignored --exclude-standard
op git status
cksum <log
git rev-parse HEAD
cat src/a.txt
